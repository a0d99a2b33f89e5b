/** WebRTC connection to one worker's stream, negotiated over WHEP. */

import type { WebRtcFailure } from "./transport";

export interface WebRtcEvents {
  /** Connected; the first keyframe is on its way. */
  opened(stream: MediaStream): void;
  failed(failure: WebRtcFailure): void;
  /** Return whether a frame of this stream was painted. */
  hasFrame(): boolean;
}

/**
 * Deadline for the first frame; over a LAN it takes a tenth of that. Shorter than
 * `CONNECT_TIMEOUT_MS` of the state machine, which would only retry the same transport.
 */
export const FIRST_FRAME_TIMEOUT_MS = 4_000;

const SDP = "application/sdp";

/** Open the stream; returns a function that closes it, after which no event is delivered. */
export function openWebRtc(url: string, events: WebRtcEvents): () => void {
  if (!("RTCPeerConnection" in globalThis)) {
    queueMicrotask(() => events.failed("no-connection"));
    return () => {};
  }
  const connection = new RTCPeerConnection();
  const { receiver } = connection.addTransceiver("video", { direction: "recvonly" });
  const abort = new AbortController();
  let resource: URL | null = null;

  const close = () => {
    if (abort.signal.aborted) return;
    abort.abort();
    clearTimeout(timer);
    connection.close();
    // Otherwise the worker notices only after ten seconds of silence.
    if (resource) void fetch(resource, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  const fail = (failure: WebRtcFailure) => {
    if (abort.signal.aborted) return;
    close();
    events.failed(failure);
  };
  const timer = setTimeout(() => {
    if (!events.hasFrame()) fail("no-connection");
  }, FIRST_FRAME_TIMEOUT_MS);

  // Lowest possible delay; frames that arrive too late are skipped.
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  connection.onconnectionstatechange = () => {
    const state = connection.connectionState;
    if (state === "connected") events.opened(new MediaStream([receiver.track]));
    else if (state === "disconnected" || state === "failed" || state === "closed")
      fail(events.hasFrame() ? "no-stream" : "no-connection");
  };
  void negotiate().catch((error: unknown) => {
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    fail("no-connection");
  });
  return close;

  async function negotiate(): Promise<void> {
    await connection.setLocalDescription();
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": SDP },
      body: connection.localDescription?.sdp ?? "",
      signal: abort.signal,
    });
    if (answer.status !== 201) {
      const noStream = answer.status === 502 || answer.status === 503;
      return fail(noStream ? "no-stream" : "no-connection");
    }
    resource = new URL(answer.headers.get("Location") ?? url, new URL(url, location.href));
    const sdp = await answer.text();
    await connection.setRemoteDescription({ type: "answer", sdp });
    const transport = receiver.transport;
    // DTLS close from the worker; connectionState follows only five seconds later.
    transport?.addEventListener("statechange", () => {
      if (transport.state === "closed") fail("no-stream");
    });
  }
}
