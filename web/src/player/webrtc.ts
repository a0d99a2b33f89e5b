/** The WebRTC connection of one worker's stream (WHEP), as events of the player. */

import type { Failure } from "./transport";

export interface WebRtcEvents {
  /** The connection stands, and its first keyframe is on the way. */
  opened(stream: MediaStream): void;
  failed(failure: Failure, reason: string): void;
  /** Whether a picture of it was painted. */
  isShown(): boolean;
}

/**
 * Milliseconds within which a picture has to be there; over a LAN it takes a tenth of that. Less
 * than the machine's CONNECT_TIMEOUT: it would only try the same again.
 */
export const PICTURE_WITHIN = 4_000;

const SDP = "application/sdp";

/** Opens the stream; the function it returns closes it, and no event follows. */
export function openWebRtc(address: string, events: WebRtcEvents): () => void {
  if (!("RTCPeerConnection" in globalThis)) {
    queueMicrotask(() => events.failed("no-way", "This browser has no WebRTC."));
    return () => {};
  }
  const connection = new RTCPeerConnection();
  const { receiver } = connection.addTransceiver("video", { direction: "recvonly" });
  const abort = new AbortController();
  let session: URL | null = null;

  const close = () => {
    if (abort.signal.aborted) return;
    abort.abort();
    clearTimeout(timer);
    connection.close();
    // Without it the worker would find out by the silence, after ten seconds.
    if (session) void fetch(session, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  const fail = (failure: Failure, reason: string) => {
    if (abort.signal.aborted) return;
    close();
    events.failed(failure, reason);
  };
  const timer = setTimeout(() => {
    if (!events.isShown()) fail("no-way", "No picture came over WebRTC.");
  }, PICTURE_WITHIN);

  // As little delay as the line allows; a picture that comes too late is skipped.
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  connection.onconnectionstatechange = () => {
    const state = connection.connectionState;
    if (state === "connected") events.opened(new MediaStream([receiver.track]));
    else if (state === "disconnected" || state === "failed" || state === "closed")
      fail(events.isShown() ? "no-stream" : "no-way", "The WebRTC connection was lost.");
  };
  void negotiate().catch((error: unknown) => {
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    fail("no-way", "No WebRTC connection could be made.");
  });
  return close;

  async function negotiate(): Promise<void> {
    await connection.setLocalDescription();
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": SDP },
      body: connection.localDescription?.sdp ?? "",
      signal: abort.signal,
    });
    if (answer.status !== 201) {
      const noStream = answer.status === 502 || answer.status === 503;
      return fail(noStream ? "no-stream" : "no-way", "The worker offers no WebRTC now.");
    }
    session = new URL(answer.headers.get("Location") ?? address, new URL(address, location.href));
    const sdp = await answer.text();
    await connection.setRemoteDescription({ type: "answer", sdp });
    const transport = receiver.transport;
    // The worker's goodbye; the connection's own state follows only five seconds later.
    transport?.addEventListener("statechange", () => {
      if (transport.state === "closed") fail("no-stream", "The stream ended.");
    });
  }
}
