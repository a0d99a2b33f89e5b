/** Feeds the fragments of one epoch to a video element through Media Source Extensions (MSE). */

import type { TimeRange } from "./live-edge";

/** Safari on iPhone offers only ManagedMediaSource; where both exist MediaSource is steadier. */
const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;

declare global {
  // TypeScript's DOM library does not declare it.
  var ManagedMediaSource: typeof MediaSource | undefined;
}

export interface MseEvents {
  appended(): void;
  failed(reason: string): void;
}

export const MSE_SUPPORTED = Source !== undefined;

/** Return why this browser cannot play `mime`, as a sentence; null if it can. */
export function unsupportedReason(mime: string): string | null {
  if (!Source) return "This browser lacks Media Source Extensions, which live video needs.";
  if (!Source.isTypeSupported(mime)) return `This browser cannot decode ${mime}.`;
  return null;
}

/** Media source that opens while the connection is being made, and starts with the epoch. */
export class MseSource {
  readonly #source = new Source();
  readonly #url = URL.createObjectURL(this.#source);
  readonly #video: HTMLVideoElement;
  readonly #events: MseEvents;
  #mime: string | null = null;
  #buffer: SourceBuffer | null = null;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #trimBefore: number | null = null;
  #complete = false;
  #closed = false;

  constructor(video: HTMLVideoElement, events: MseEvents) {
    this.#video = video;
    this.#events = events;
    this.#source.addEventListener("sourceopen", () => this.#openBuffer(), { once: true });
    this.#source.addEventListener("sourceclose", () => this.#fail("The browser ended the video."));
    // A managed source stays closed while playback could move to another device.
    video.disableRemotePlayback = true;
    video.src = this.#url;
  }

  /** True once an epoch has started; the next epoch needs a new source. */
  get started(): boolean {
    return this.#mime !== null;
  }

  start(mime: string): void {
    this.#mime = mime;
    this.#openBuffer();
  }

  get buffered(): TimeRange[] {
    // Reading the buffer of a source that the browser has closed throws.
    const ranges = this.#source.readyState === "closed" ? null : this.#buffer?.buffered;
    return Array.from({ length: ranges?.length ?? 0 }, (_, i) => ({
      start: ranges?.start(i) ?? 0,
      end: ranges?.end(i) ?? 0,
    }));
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    this.#queue.push(bytes);
    this.#flush();
  }

  /** Remove frames before `time` (seconds) as soon as the buffer is idle. */
  trim(time: number): void {
    this.#trimBefore = time;
    this.#flush();
  }

  /** Declare that all bytes have been appended, which tells the browser where the video ends. */
  end(): void {
    this.#complete = true;
    this.#flush();
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    URL.revokeObjectURL(this.#url);
    if (this.#video.src !== this.#url) return;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #openBuffer(): void {
    if (this.#closed || this.#mime === null || this.#source.readyState !== "open") return;
    this.#buffer = this.#source.addSourceBuffer(this.#mime);
    this.#buffer.addEventListener("updateend", () => {
      if (this.#closed) return;
      this.#flush();
      this.#events.appended();
    });
    this.#buffer.addEventListener("error", () => this.#fail("The stream could not be parsed."));
    this.#flush();
  }

  /** A source buffer allows one operation at a time; queued bytes are appended in one piece. */
  #flush(): void {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#closed || this.#source.readyState !== "open") return;
    if (this.#trimBefore !== null) {
      const end = this.#trimBefore;
      this.#trimBefore = null;
      buffer.remove(0, end);
    } else if (this.#queue.length > 0) {
      const bytes = concatenate(this.#queue);
      this.#queue = [];
      this.#appendTo(buffer, bytes);
    } else if (this.#complete) {
      this.#source.endOfStream();
    }
  }

  #appendTo(buffer: SourceBuffer, bytes: Uint8Array<ArrayBuffer>): void {
    try {
      buffer.appendBuffer(bytes);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      this.#fail(
        error.name === "QuotaExceededError"
          ? "The browser's video buffer is full."
          : "The browser rejected the video.",
      );
    }
  }

  #fail(reason: string): void {
    if (!this.#closed) this.#events.failed(reason);
  }
}

function concatenate(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [only] = chunks;
  if (only && chunks.length === 1) return only;
  const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
