import { beforeEach, expect, test, vi } from "vitest";

/** As much of Media Source Extensions as the standard promises: one operation at a time. */
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
  open() {
    this.readyState = "open";
    this.dispatchEvent(new Event("sourceopen"));
  }
  /** The browser takes it from the video element, with its buffer. */
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
const events = { appended: vi.fn(), broken: vi.fn() };

beforeEach(() => {
  vi.clearAllMocks();
  vi.resetModules();
  vi.stubGlobal("MediaSource", FakeSource);
  vi.spyOn(URL, "createObjectURL").mockReturnValue("blob:here/1");
  vi.spyOn(URL, "revokeObjectURL");
});

async function prepare() {
  const { Media } = await import("./mse-source");
  const video = document.createElement("video");
  const media = new Media(video, events);
  return { media, video, source: FakeSource.last, buffer: FakeSource.last.buffer };
}

async function create() {
  const prepared = await prepare();
  prepared.media.begin(MIME);
  return prepared;
}

test("a source that was open before its stream is known begins with it", async () => {
  const { media, source, buffer } = await prepare();
  source.open();
  expect(source.addSourceBuffer).not.toHaveBeenCalled();
  expect(media.begun).toBe(false);
  media.begin(MIME);
  expect(media.begun).toBe(true);
  media.append(new Uint8Array([1]));
  expect(buffer.appended).toEqual([[1]]);
  expect(source.addSourceBuffer).toHaveBeenCalledExactlyOnceWith(MIME);
});

test("what arrives before the source is open, or while it works, goes in as one piece", async () => {
  const { media, source, buffer } = await create();
  media.append(new Uint8Array([1]));
  media.append(new Uint8Array([2, 3]));
  expect(buffer.appended).toEqual([]);
  source.open();
  expect(source.addSourceBuffer).toHaveBeenCalledExactlyOnceWith(MIME);
  media.append(new Uint8Array([4]));
  media.append(new Uint8Array([5]));
  expect(buffer.appended).toEqual([[1, 2, 3]]);
  buffer.finish();
  expect(buffer.appended).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
  expect(events.appended).toHaveBeenCalledOnce();
});

test("trimming waits for its turn", async () => {
  const { media, source, buffer } = await create();
  source.open();
  media.append(new Uint8Array([1]));
  media.trim(6);
  expect(buffer.removed).toEqual([]);
  buffer.finish();
  expect(buffer.removed).toEqual([[0, 6]]);
});

test("it tells what is buffered", async () => {
  const { media, source } = await create();
  expect(media.buffered).toEqual([]);
  source.open();
  expect(media.buffered).toEqual([{ start: 5, end: 7 }]);
});

test("a source that the browser ends is reported, and has nothing buffered", async () => {
  const { media, source } = await create();
  source.open();
  source.detach();
  expect(media.buffered).toEqual([]);
  expect(events.broken).toHaveBeenCalledExactlyOnceWith("The browser ended the video.");
});

test("a full buffer is reported and not thrown", async () => {
  const { media, source, buffer } = await create();
  source.open();
  buffer.appendBuffer = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  media.append(new Uint8Array([1]));
  expect(events.broken).toHaveBeenCalledExactlyOnceWith("The browser has no room for more video.");
});

test("closing gives the memory back, and nothing is appended or reported afterwards", async () => {
  const { media, video, source, buffer } = await create();
  source.open();
  media.append(new Uint8Array([1]));
  media.append(new Uint8Array([2]));
  media.close();
  buffer.finish();
  buffer.dispatchEvent(new Event("error"));
  source.detach();
  expect(buffer.appended).toEqual([[1]]);
  expect(events.broken).not.toHaveBeenCalled();
  expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:here/1");
  expect(video.hasAttribute("src")).toBe(false);
});

test("a browser without H.264, or without media sources, is told so in a sentence", async () => {
  const { refusal } = await import("./mse-source");
  expect(refusal(MIME)).toBeNull();
  expect(refusal('video/mp4; codecs="av01"')).toContain("can't decode");
  vi.resetModules();
  vi.stubGlobal("MediaSource", undefined);
  expect((await import("./mse-source")).refusal(MIME)).toContain("no Media Source Extensions");
});

test("where there is only the managed kind, as on an iPhone, that is used", async () => {
  vi.stubGlobal("MediaSource", undefined);
  vi.stubGlobal("ManagedMediaSource", FakeSource);
  const { video, source, buffer, media } = await create();
  expect(video.disableRemotePlayback).toBe(true);
  source.open();
  media.append(new Uint8Array([1]));
  expect(buffer.appended).toEqual([[1]]);
});
