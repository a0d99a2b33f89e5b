/** WebSocket of one worker's stream. */

import type { EpochMessage, StateMessage, StillMessage, StillsRequest } from "../api/schema";
import { takeEarly, webSocketUrl } from "./early-socket";
import type { TrackMessage } from "./policy-track";

export type StreamMessage = StateMessage | EpochMessage | StillMessage | TrackMessage;

const MESSAGE_TYPES = ["state", "epoch", "still", "policy", "thought", "saliency"];

export interface SocketEvents {
  opened(): void;
  closed(): void;
  message(message: StreamMessage): void;
  bytes(bytes: Uint8Array<ArrayBuffer>): void;
}

export interface StreamSocket {
  /** Say which stills the page can use; may be called before the socket is open. */
  requestStills(request: StillsRequest): void;
  /** Close it; no event is delivered from then on. */
  close(): void;
}

/** Open the stream, or take over the connection that was opened for it while the page loaded. */
export function openSocket(url: string, events: SocketEvents): StreamSocket {
  const early = takeEarly(url);
  const socket = early?.socket ?? new WebSocket(webSocketUrl(url));
  let stills: string | null = null;
  let closed = false;
  const deliver = (data: string | ArrayBuffer) => {
    if (typeof data !== "string") return events.bytes(new Uint8Array(data));
    const message = parseMessage(data);
    if (message) events.message(message);
  };
  const opened = () => {
    if (stills) socket.send(stills);
    events.opened();
  };
  socket.binaryType = "arraybuffer";
  socket.onopen = opened;
  socket.onclose = () => events.closed();
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => deliver(data);
  if (early && socket.readyState === WebSocket.OPEN) {
    // Not at once: the caller has no socket yet.
    queueMicrotask(() => {
      if (closed) return;
      opened();
      for (const data of early.received) deliver(data);
    });
  }
  return {
    requestStills: (request) => {
      stills = JSON.stringify(request);
      if (socket.readyState === WebSocket.OPEN) socket.send(stills);
    },
    close: () => {
      closed = true;
      socket.onopen = socket.onclose = socket.onmessage = null;
      socket.close();
    },
  };
}

/** Parse a text message; null for types this player does not know, as a newer server may send. */
export function parseMessage(text: string): StreamMessage | null {
  const message = JSON.parse(text) as StreamMessage;
  return MESSAGE_TYPES.includes(message.type) ? message : null;
}
