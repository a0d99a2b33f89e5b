/** The WebSocket of one worker's stream, as events of the player. */

import type { EpochMessage, StateMessage } from "../api/schema";
import type { MindMessage } from "./policy-track";

export type StreamMessage = StateMessage | EpochMessage | MindMessage;

const KNOWN = ["state", "epoch", "policy", "thought", "attention"];

export interface SocketEvents {
  opened(): void;
  closed(): void;
  message(message: StreamMessage): void;
  bytes(bytes: Uint8Array<ArrayBuffer>): void;
}

/** Opens the stream; the function it returns closes it, and no event follows. */
export function openSocket(address: string, events: SocketEvents): () => void {
  const socket = new WebSocket(new URL(address, location.href.replace(/^http/, "ws")));
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

/** Null for a kind of message that this player doesn't know: a newer server may send more. */
export function parseMessage(text: string): StreamMessage | null {
  const message = JSON.parse(text) as StreamMessage;
  return KNOWN.includes(message.type) ? message : null;
}
