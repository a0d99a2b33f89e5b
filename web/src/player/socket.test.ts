// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openSocket, parseMessage, type SocketEvents, type StreamSocket } from "./socket";

class FakeSocket {
  static last: FakeSocket;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  static OPEN = 1;
  readyState = 1;
  close = vi.fn();
  send = vi.fn();
  constructor(readonly url: URL) {
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

function open(url: string): { socket: FakeSocket; opened: StreamSocket } {
  const opened = openSocket(url, events satisfies SocketEvents);
  return { socket: FakeSocket.last, opened };
}

test("connects to the page's own origin", () => {
  const { socket } = open("/api/worker/omega-0/stream?audience=broadcast");
  const origin = location.origin.replace("http", "ws");
  expect(socket.url.href).toBe(`${origin}/api/worker/omega-0/stream?audience=broadcast`);
});

test("text is parsed as a message, binary is video", () => {
  const { socket } = open("/stream");
  socket.onmessage?.({ data: '{"type":"state","state":"live","reason":"playing"}' });
  socket.onmessage?.({ data: new Uint8Array([1, 2]).buffer });
  expect(events.message).toHaveBeenCalledExactlyOnceWith({
    type: "state",
    state: "live",
    reason: "playing",
  });
  expect(events.bytes).toHaveBeenCalledExactlyOnceWith(new Uint8Array([1, 2]));
});

test("unknown message types are ignored", () => {
  expect(parseMessage('{"type":"unknown","value":1}')).toBeNull();
});

test("a closed socket delivers no events", () => {
  const { socket, opened } = open("/stream");
  opened.close();
  expect(socket.close).toHaveBeenCalledOnce();
  expect([socket.onopen, socket.onclose, socket.onmessage]).toEqual([null, null, null]);
});

test("which stills are wanted is said once the socket is open, and again when that changes", () => {
  const { socket, opened } = open("/stream");
  socket.readyState = 0;
  opened.requestStills({ type: "stills", max_width: 320 });
  expect(socket.send).not.toHaveBeenCalled();
  socket.readyState = 1;
  socket.onopen?.();
  opened.requestStills({ type: "stills", max_width: null });
  expect(socket.send.mock.calls.map(([text]) => JSON.parse(text).max_width)).toEqual([320, null]);
});
