/**
 * Which way the picture comes. Pure, but for what the browser can decode.
 *
 * Through the WebSocket and Media Source Extensions it works wherever the page does, has thoughts
 * along with it, and is a little behind. WebRTC is nearer and brings the picture alone: it is used
 * where it was asked for, and by itself where one worker's picture alone is watched.
 */

export type Transport = "webrtc" | "mse";

/** Why WebRTC gave no picture: the worker has none now, or the way itself doesn't work. */
export type Failure = "no-stream" | "no-way";

/** Failures of the way in a row after which it isn't tried again. */
export const TRIES = 2;
/** Milliseconds between two tries while the worker itself says that it is live. */
export const RETURN_AFTER = 2_000;

/**
 * @param query of the page's address; `transport=webrtc` or `transport=mse` decides
 * @param alone whether one worker is watched, without what its policy thinks
 */
export function wishedTransport(query: string, alone: boolean): Transport {
  const asked = new URLSearchParams(query).get("transport");
  if (asked === "webrtc" || asked === "mse") return asked;
  return alone && takesStream() ? "webrtc" : "mse";
}

/** Whether this browser takes Constrained Baseline over WebRTC, in packets as the workers send. */
function takesStream(): boolean {
  if (!("RTCPeerConnection" in globalThis) || !("RTCRtpReceiver" in globalThis)) return false;
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  return codecs.some(
    ({ mimeType, sdpFmtpLine = "" }) =>
      mimeType === "video/H264" &&
      sdpFmtpLine.includes("packetization-mode=1") &&
      sdpFmtpLine.includes("profile-level-id=42"),
  );
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
