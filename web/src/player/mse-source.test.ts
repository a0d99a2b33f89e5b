// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";

/** Source buffer that enforces one operation at a time, like the standard. */
class FakeBuffer extends EventTarget {
  updating = false;
  buffered = { length: 1, start: () => 5, end: () => 7 };
  appended: number[][] = [];
  removed: [number, number][] = [];
  appendBuffer(bytes: Uint8Array) {
    this.#begin();
    this.appended.push([...bytes]);
  }
  remove(start: number, end: number) {
    this.#begin();
    this.removed.push([start, end]);
  }
  finish() {
    this.updating = false;
    this.dispatchEvent(new Event("updateend"));
  }
  #begin() {
    if (this.updating) throw new DOMException("updating", "InvalidStateError");
    this.updating = true;
  }
}

class FakeSource extends EventTarget {
  static last: FakeSource;
  static isTypeSupported = (mime: string) => mime.includes("avc1");
  readyState = "closed";
  buffer = new FakeBuffer();
  constructor() {
    super();
    FakeSource.last = this;
  }
  addSourceBuffer = vi.fn(() => this.buffer);
  endOfStream = vi.fn();
  open() {
    this.readyState = "open";
    this.dispatchEvent(new Event("sourceopen"));
  }
  /** Detach it from the video element, as a browser may, which invalidates its buffer. */
  detach() {
    this.readyState = "closed";
    Object.defineProperty(this.buffer, "buffered", {
      get: () => {
        throw new DOMException("removed", "InvalidStateError");
      },
    });
    this.dispatchEvent(new Event("sourceclose"));
  }
}

const MIME = 'video/mp4; codecs="avc1.42c01f"';
const events = { appended: vi.fn(), failed: vi.fn() };

beforeEach(() => {
  vi.clearAllMocks();
  vi.resetModules();
  vi.stubGlobal("MediaSource", FakeSource);
  vi.spyOn(URL, "createObjectURL").mockReturnValue("blob:here/1");
  vi.spyOn(URL, "revokeObjectURL");
});

async function prepare() {
  const { MseSource } = await import("./mse-source");
  const video = document.createElement("video");
  const mse = new MseSource(video, events);
  return { mse, video, source: FakeSource.last, buffer: FakeSource.last.buffer };
}

async function create() {
  const prepared = await prepare();
  prepared.mse.start(MIME);
  return prepared;
}

test("a source that opened early starts with its epoch", async () => {
  const { mse, source, buffer } = await prepare();
  source.open();
  expect(source.addSourceBuffer).not.toHaveBeenCalled();
  expect(mse.started).toBe(false);
  mse.start(MIME);
  expect(mse.started).toBe(true);
  mse.append(new Uint8Array([1]));
  expect(buffer.appended).toEqual([[1]]);
  expect(source.addSourceBuffer).toHaveBeenCalledExactlyOnceWith(MIME);
});

test("bytes that arrive before opening or while updating are appended in one piece", async () => {
  const { mse, source, buffer } = await create();
  mse.append(new Uint8Array([1]));
  mse.append(new Uint8Array([2, 3]));
  expect(buffer.appended).toEqual([]);
  source.open();
  expect(source.addSourceBuffer).toHaveBeenCalledExactlyOnceWith(MIME);
  mse.append(new Uint8Array([4]));
  mse.append(new Uint8Array([5]));
  expect(buffer.appended).toEqual([[1, 2, 3]]);
  buffer.finish();
  expect(buffer.appended).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
  expect(events.appended).toHaveBeenCalledOnce();
});

test("trimming waits until the buffer is idle", async () => {
  const { mse, source, buffer } = await create();
  source.open();
  mse.append(new Uint8Array([1]));
  mse.trim(6);
  expect(buffer.removed).toEqual([]);
  buffer.finish();
  expect(buffer.removed).toEqual([[0, 6]]);
});

test("the end is declared once all bytes are appended", async () => {
  const { mse, source, buffer } = await create();
  source.open();
  mse.append(new Uint8Array([1]));
  mse.append(new Uint8Array([2]));
  mse.end();
  buffer.finish();
  expect(source.endOfStream).not.toHaveBeenCalled();
  buffer.finish();
  expect(source.endOfStream).toHaveBeenCalledOnce();
});

test("reports what is buffered", async () => {
  const { mse, source } = await create();
  expect(mse.buffered).toEqual([]);
  source.open();
  expect(mse.buffered).toEqual([{ start: 5, end: 7 }]);
});

test("a source closed by the browser fails and has nothing buffered", async () => {
  const { mse, source } = await create();
  source.open();
  source.detach();
  expect(mse.buffered).toEqual([]);
  expect(events.failed).toHaveBeenCalledExactlyOnceWith("The browser ended the video.");
});

test("a full buffer is reported, not thrown", async () => {
  const { mse, source, buffer } = await create();
  source.open();
  buffer.appendBuffer = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  mse.append(new Uint8Array([1]));
  expect(events.failed).toHaveBeenCalledExactlyOnceWith("The browser's video buffer is full.");
});

test("closing releases memory; nothing is appended or reported afterwards", async () => {
  const { mse, video, source, buffer } = await create();
  source.open();
  mse.append(new Uint8Array([1]));
  mse.append(new Uint8Array([2]));
  mse.close();
  buffer.finish();
  buffer.dispatchEvent(new Event("error"));
  source.detach();
  expect(buffer.appended).toEqual([[1]]);
  expect(events.failed).not.toHaveBeenCalled();
  expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:here/1");
  expect(video.hasAttribute("src")).toBe(false);
});

test("gives the reason if H.264 or media sources are missing", async () => {
  const { unsupportedReason } = await import("./mse-source");
  expect(unsupportedReason(MIME)).toBeNull();
  expect(unsupportedReason('video/mp4; codecs="av01"')).toContain("cannot decode");
  vi.resetModules();
  vi.stubGlobal("MediaSource", undefined);
  expect((await import("./mse-source")).unsupportedReason(MIME)).toContain(
    "lacks Media Source Extensions",
  );
});

test("uses ManagedMediaSource where it is the only one, as on iPhone", async () => {
  vi.stubGlobal("MediaSource", undefined);
  vi.stubGlobal("ManagedMediaSource", FakeSource);
  const { video, source, buffer, mse } = await create();
  expect(video.disableRemotePlayback).toBe(true);
  source.open();
  mse.append(new Uint8Array([1]));
  expect(buffer.appended).toEqual([[1]]);
});
