/**
 * Choice between the two transports.
 *
 * MSE (over the WebSocket) works wherever the page does and carries the policy's thoughts, at a
 * small delay. WebRTC has less delay but carries video alone; it is used on request, and by default
 * where nothing but the video is shown.
 */

export type Transport = "webrtc" | "mse";

/** Why WebRTC gave no video: the worker has no stream now, or the connection itself fails. */
export type WebRtcFailure = "no-stream" | "no-connection";

/** Consecutive connection failures after which WebRTC is not tried again. */
export const MAX_FAILURES = 2;
/** Delay before WebRTC is tried again once the worker is live. */
export const RETRY_AFTER_MS = 2_000;

/**
 * Return the transport to use if it works.
 *
 * @param query of the page's URL; `transport=webrtc` or `transport=mse` overrides the default
 * @param lowLatency whether to prefer WebRTC where the browser supports it
 */
export function preferredTransport(query: string, lowLatency: boolean): Transport {
  const requested = new URLSearchParams(query).get("transport");
  if (requested === "webrtc" || requested === "mse") return requested;
  return lowLatency && supportsStream() ? "webrtc" : "mse";
}

/** Return whether WebRTC in this browser accepts Constrained Baseline in packetization mode 1. */
function supportsStream(): boolean {
  if (!("RTCPeerConnection" in globalThis) || !("RTCRtpReceiver" in globalThis)) return false;
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  return codecs.some(
    ({ mimeType, sdpFmtpLine = "" }) =>
      mimeType === "video/H264" &&
      sdpFmtpLine.includes("packetization-mode=1") &&
      sdpFmtpLine.includes("profile-level-id=42"),
  );
}

/** Falls back from WebRTC to MSE on failure, and returns once the worker is live. */
export class TransportSelector {
  #current: Transport;
  #failedAt = 0;
  #failures = 0;

  /** @param now monotonic clock, milliseconds */
  constructor(
    private readonly preferred: Transport,
    private readonly now: () => number,
  ) {
    this.#current = preferred;
  }

  /** Transport for the next connection. */
  get current(): Transport {
    return this.#current;
  }

  /** Fall back to MSE, which also reports the worker's state. */
  failed(failure: WebRtcFailure): void {
    this.#current = "mse";
    this.#failedAt = this.now();
    if (failure === "no-connection") this.#failures += 1;
  }

  /** Record that a frame was shown. */
  succeeded(): void {
    if (this.#current === "webrtc") this.#failures = 0;
  }

  /** Return to WebRTC if a retry is due; call while the worker is live. */
  retry(): boolean {
    const due = this.now() - this.#failedAt >= RETRY_AFTER_MS;
    if (this.preferred === this.#current || this.#failures >= MAX_FAILURES || !due) return false;
    this.#current = this.preferred;
    return true;
  }
}
