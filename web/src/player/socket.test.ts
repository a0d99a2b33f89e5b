import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openSocket, parseMessage, type SocketEvents } from "./socket";

class FakeSocket {
  static last: FakeSocket;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  close = vi.fn();
  constructor(readonly address: URL) {
    FakeSocket.last = this;
  }
}

const events = { opened: vi.fn(), closed: vi.fn(), message: vi.fn(), bytes: vi.fn() };

beforeEach(() => {
  vi.stubGlobal("WebSocket", FakeSocket);
});
afterEach(() => {
  vi.clearAllMocks();
});

function open(address: string): { socket: FakeSocket; close: () => void } {
  const close = openSocket(address, events satisfies SocketEvents);
  return { socket: FakeSocket.last, close };
}

test("the socket is on the page's own origin", () => {
  const { socket } = open("/api/worker/omega-0/stream?audience=broadcast");
  const origin = location.origin.replace("http", "ws");
  expect(socket.address.href).toBe(`${origin}/api/worker/omega-0/stream?audience=broadcast`);
});

test("text is a message, binary is video", () => {
  const { socket } = open("/stream");
  socket.onmessage?.({ data: '{"type":"state","state":"live","reason":"It plays."}' });
  socket.onmessage?.({ data: new Uint8Array([1, 2]).buffer });
  expect(events.message).toHaveBeenCalledExactlyOnceWith({
    type: "state",
    state: "live",
    reason: "It plays.",
  });
  expect(events.bytes).toHaveBeenCalledExactlyOnceWith(new Uint8Array([1, 2]));
});

test("a kind of message from the future is left alone", () => {
  expect(parseMessage('{"type":"smell","value":1}')).toBeNull();
});

test("nothing is heard of a socket after it was closed", () => {
  const { socket, close } = open("/stream");
  close();
  expect(socket.close).toHaveBeenCalledOnce();
  expect([socket.onopen, socket.onclose, socket.onmessage]).toEqual([null, null, null]);
});
