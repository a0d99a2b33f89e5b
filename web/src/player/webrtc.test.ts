// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FIRST_FRAME_TIMEOUT_MS, openWebRtc, type WebRtcEvents } from "./webrtc";

class FakeTransport extends EventTarget {
  state = "connected";
}

class FakeConnection {
  static last: FakeConnection;
  connectionState = "new";
  localDescription: { sdp: string } | null = null;
  receiver = { track: {}, transport: new FakeTransport(), jitterBufferTarget: 40 };
  onconnectionstatechange: (() => void) | null = null;
  setRemoteDescription = vi.fn(async () => {});
  close = vi.fn();
  constructor() {
    FakeConnection.last = this;
  }
  addTransceiver = vi.fn(() => ({ receiver: this.receiver }));
  async setLocalDescription() {
    this.localDescription = { sdp: "v=0 offer" };
  }
  setState(state: string) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

const events = {
  opened: vi.fn<WebRtcEvents["opened"]>(),
  failed: vi.fn<WebRtcEvents["failed"]>(),
  hasFrame: vi.fn(() => false),
};
const fetchMock = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
  vi.stubGlobal("MediaStream", class {});
  vi.stubGlobal("fetch", fetchMock);
  events.hasFrame.mockReturnValue(false);
  fetchMock.mockImplementation(async () =>
    Promise.resolve(
      new Response("v=0 answer", {
        status: 201,
        headers: { Location: "/whep/abc?worker=omega-0" },
      }),
    ),
  );
});
afterEach(() => {
  vi.clearAllMocks();
  vi.useRealTimers();
});

async function open(): Promise<{ connection: FakeConnection; close: () => void }> {
  const close = openWebRtc("/whep?worker=omega-0", events);
  await vi.advanceTimersByTimeAsync(10);
  return { connection: FakeConnection.last, close };
}

test("posts the offer and applies the answer", async () => {
  const { connection } = await open();
  const [url, request] = fetchMock.mock.calls[0] ?? [];
  expect([url, request?.method, request?.body]).toEqual([
    "/whep?worker=omega-0",
    "POST",
    "v=0 offer",
  ]);
  expect(connection.setRemoteDescription).toHaveBeenCalledExactlyOnceWith({
    type: "answer",
    sdp: "v=0 answer",
  });
  expect(connection.receiver.jitterBufferTarget).toBe(0);
  connection.setState("connected");
  expect(events.opened).toHaveBeenCalledOnce();
});

test("closing deletes the WHEP resource; no event follows", async () => {
  const { connection, close } = await open();
  close();
  expect(connection.close).toHaveBeenCalledOnce();
  const [url, request] = fetchMock.mock.calls[1] ?? [];
  expect(String(url)).toBe(`${location.origin}/whep/abc?worker=omega-0`);
  expect(request?.method).toBe("DELETE");
  connection.setState("failed");
  await vi.advanceTimersByTimeAsync(FIRST_FRAME_TIMEOUT_MS);
  expect(events.failed).not.toHaveBeenCalled();
});

test.each([
  [503, "no-stream"],
  [502, "no-stream"],
  [406, "no-connection"],
  [404, "no-connection"],
])("status %i fails with %s", async (status, failure) => {
  fetchMock.mockImplementation(async () => Promise.resolve(new Response("", { status })));
  await open();
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual([failure]);
});

test("fails without an answer", async () => {
  fetchMock.mockRejectedValue(new TypeError("no connection"));
  await open();
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-connection"]);
});

test("a connection without a first frame fails", async () => {
  const { connection } = await open();
  connection.setState("connected");
  await vi.advanceTimersByTimeAsync(FIRST_FRAME_TIMEOUT_MS);
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-connection"]);
});

test("a close by the worker ends the stream", async () => {
  const { connection } = await open();
  connection.setState("connected");
  events.hasFrame.mockReturnValue(true);
  await vi.advanceTimersByTimeAsync(FIRST_FRAME_TIMEOUT_MS);
  expect(events.failed).not.toHaveBeenCalled();
  connection.receiver.transport.state = "closed";
  connection.receiver.transport.dispatchEvent(new Event("statechange"));
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-stream"]);
});

test("fails in a browser without WebRTC", async () => {
  Reflect.deleteProperty(globalThis, "RTCPeerConnection");
  openWebRtc("/whep?worker=omega-0", events);
  await vi.advanceTimersByTimeAsync(1);
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-connection"]);
});
