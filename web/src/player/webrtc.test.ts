import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openWebRtc, PICTURE_WITHIN, type WebRtcEvents } from "./webrtc";

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
  become(state: string) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

const events = {
  opened: vi.fn<WebRtcEvents["opened"]>(),
  failed: vi.fn<WebRtcEvents["failed"]>(),
  isShown: vi.fn(() => false),
};
const answered = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
  vi.stubGlobal("MediaStream", class {});
  vi.stubGlobal("fetch", answered);
  events.isShown.mockReturnValue(false);
  answered.mockImplementation(async () =>
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

test("the offer is posted, and the answer taken", async () => {
  const { connection } = await open();
  const [address, request] = answered.mock.calls[0] ?? [];
  expect([address, request?.method, request?.body]).toEqual([
    "/whep?worker=omega-0",
    "POST",
    "v=0 offer",
  ]);
  expect(connection.setRemoteDescription).toHaveBeenCalledExactlyOnceWith({
    type: "answer",
    sdp: "v=0 answer",
  });
  expect(connection.receiver.jitterBufferTarget).toBe(0);
  connection.become("connected");
  expect(events.opened).toHaveBeenCalledOnce();
});

test("closing ends the session at the worker, and nothing more is heard", async () => {
  const { connection, close } = await open();
  close();
  expect(connection.close).toHaveBeenCalledOnce();
  const [address, request] = answered.mock.calls[1] ?? [];
  expect(String(address)).toBe(`${location.origin}/whep/abc?worker=omega-0`);
  expect(request?.method).toBe("DELETE");
  connection.become("failed");
  await vi.advanceTimersByTimeAsync(PICTURE_WITHIN);
  expect(events.failed).not.toHaveBeenCalled();
});

test.each([
  [503, "no-stream"],
  [502, "no-stream"],
  [406, "no-way"],
  [404, "no-way"],
])("an answer of %i is %s", async (status, failure) => {
  answered.mockImplementation(async () => Promise.resolve(new Response("", { status })));
  await open();
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual([failure]);
});

test("without an answer there is no way", async () => {
  answered.mockRejectedValue(new TypeError("no connection"));
  await open();
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-way"]);
});

test("a connection that brings no picture is no way", async () => {
  const { connection } = await open();
  connection.become("connected");
  await vi.advanceTimersByTimeAsync(PICTURE_WITHIN);
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-way"]);
});

test("the worker's goodbye is the end of the stream", async () => {
  const { connection } = await open();
  connection.become("connected");
  events.isShown.mockReturnValue(true);
  await vi.advanceTimersByTimeAsync(PICTURE_WITHIN);
  expect(events.failed).not.toHaveBeenCalled();
  connection.receiver.transport.state = "closed";
  connection.receiver.transport.dispatchEvent(new Event("statechange"));
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-stream"]);
});

test("a browser without WebRTC has no way", async () => {
  Reflect.deleteProperty(globalThis, "RTCPeerConnection");
  openWebRtc("/whep?worker=omega-0", events);
  await vi.advanceTimersByTimeAsync(1);
  expect(events.failed.mock.calls.map(([kind]) => kind)).toEqual(["no-way"]);
});
