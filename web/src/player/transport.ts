/**
 * Which way the picture comes: over WebRTC where it was asked for, else through the WebSocket and
 * Media Source Extensions, which work wherever the page does. Pure.
 */

export type Transport = "webrtc" | "mse";

/** Why WebRTC gave no picture: the worker has none now, or the way itself doesn't work. */
export type Failure = "no-stream" | "no-way";

/** Failures of the way in a row after which it isn't tried again. */
export const TRIES = 2;
/** Milliseconds between two tries while the worker itself says that it is live. */
export const RETURN_AFTER = 2_000;

/** `?transport=webrtc` of the page's address; anything else is the default. */
export function wishedTransport(query: string): Transport {
  return new URLSearchParams(query).get("transport") === "webrtc" ? "webrtc" : "mse";
}

export class TransportChoice {
  #current: Transport;
  #failedAt = 0;
  #failures = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    private readonly wish: Transport,
    private readonly now: () => number,
  ) {
    this.#current = wish;
  }

  /** The one to connect by. */
  get current(): Transport {
    return this.#current;
  }

  /** WebRTC failed: the other way takes over, and says what the worker does. */
  failed(failure: Failure): void {
    this.#current = "mse";
    this.#failedAt = this.now();
    if (failure === "no-way") this.#failures += 1;
  }

  /** A picture came. */
  worked(): void {
    if (this.#current === "webrtc") this.#failures = 0;
  }

  /** The worker is live: whether WebRTC is to be tried again, which it then is. */
  returns(): boolean {
    const due = this.now() - this.#failedAt >= RETURN_AFTER;
    if (this.wish === this.#current || this.#failures >= TRIES || !due) return false;
    this.#current = this.wish;
    return true;
  }
}
