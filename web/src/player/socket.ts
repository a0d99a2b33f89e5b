/** WebSocket of one worker's stream. */

import type { EpochMessage, StateMessage } from "../api/schema";
import type { TrackMessage } from "./policy-track";

export type StreamMessage = StateMessage | EpochMessage | TrackMessage;

const MESSAGE_TYPES = ["state", "epoch", "policy", "thought", "saliency"];

export interface SocketEvents {
  opened(): void;
  closed(): void;
  message(message: StreamMessage): void;
  bytes(bytes: Uint8Array<ArrayBuffer>): void;
}

/** Open the stream; returns a function that closes it, after which no event is delivered. */
export function openSocket(url: string, events: SocketEvents): () => void {
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => events.opened();
  socket.onclose = () => events.closed();
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") return events.bytes(new Uint8Array(data));
    const message = parseMessage(data);
    if (message) events.message(message);
  };
  return () => {
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
  };
}

/** Parse a text message; null for types this player does not know, as a newer server may send. */
export function parseMessage(text: string): StreamMessage | null {
  const message = JSON.parse(text) as StreamMessage;
  return MESSAGE_TYPES.includes(message.type) ? message : null;
}
