/** WebSocket of one worker's stream. */

import type { EpochMessage, StateMessage, StillMessage, StillsRequest } from "../api/schema";
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

/** Open the stream at `url`, on the page's own origin. */
export function openSocket(url: string, events: SocketEvents): StreamSocket {
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, "ws")));
  let stills: string | null = null;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (stills) socket.send(stills);
    events.opened();
  };
  socket.onclose = () => events.closed();
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") return events.bytes(new Uint8Array(data));
    const message = parseMessage(data);
    if (message) events.message(message);
  };
  return {
    requestStills: (request) => {
      stills = JSON.stringify(request);
      if (socket.readyState === WebSocket.OPEN) socket.send(stills);
    },
    close: () => {
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
