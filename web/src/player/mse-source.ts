/** One epoch's fragments on their way into a video element, through Media Source Extensions. */

import type { TimeRange } from "./live-edge";

/** Safari on iPhone has only the managed kind; where both exist the plain one is steadier. */
const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;

export interface MediaEvents {
  appended(): void;
  broken(reason: string): void;
}

/** Whether this browser has Media Source Extensions at all. */
export const HAS_MEDIA_SOURCE = Source !== undefined;

/** Why this browser can't show such a stream, as a sentence; null when it can. */
export function refusal(mime: string): string | null {
  if (!Source) return "This browser has no Media Source Extensions, which live video needs.";
  if (!Source.isTypeSupported(mime)) return `This browser can't decode ${mime}.`;
  return null;
}

/** A source that is opened while the stream is still being asked for, and begun with its epoch. */
export class Media {
  readonly #source = new Source();
  readonly #address = URL.createObjectURL(this.#source);
  readonly #video: HTMLVideoElement;
  readonly #events: MediaEvents;
  #mime: string | null = null;
  #buffer: SourceBuffer | null = null;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #trimBefore: number | null = null;
  #closed = false;

  constructor(video: HTMLVideoElement, events: MediaEvents) {
    this.#video = video;
    this.#events = events;
    this.#source.addEventListener("sourceopen", () => this.#open(), { once: true });
    this.#source.addEventListener("sourceclose", () => this.#fail("The browser ended the video."));
    // The managed kind stays closed while playback could move to another device.
    video.disableRemotePlayback = true;
    video.src = this.#address;
  }

  /** Whether an epoch has begun in it; another one needs another source. */
  get begun(): boolean {
    return this.#mime !== null;
  }

  begin(mime: string): void {
    this.#mime = mime;
    this.#open();
  }

  get buffered(): TimeRange[] {
    // A browser that gives up a stream takes its buffer away, and asking that one is an exception.
    const ranges = this.#source.readyState === "closed" ? null : this.#buffer?.buffered;
    return Array.from({ length: ranges?.length ?? 0 }, (_, i) => ({
      start: ranges?.start(i) ?? 0,
      end: ranges?.end(i) ?? 0,
    }));
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    this.#queue.push(bytes);
    this.#work();
  }

  /** Forgets pictures older than `time` (seconds) as soon as the buffer is free. */
  trim(time: number): void {
    this.#trimBefore = time;
    this.#work();
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    URL.revokeObjectURL(this.#address);
    if (this.#video.src !== this.#address) return;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #open(): void {
    if (this.#closed || this.#mime === null || this.#source.readyState !== "open") return;
    this.#buffer = this.#source.addSourceBuffer(this.#mime);
    this.#buffer.addEventListener("updateend", () => {
      if (this.#closed) return;
      this.#work();
      this.#events.appended();
    });
    this.#buffer.addEventListener("error", () => this.#fail("The stream could not be read."));
    this.#work();
  }

  /** A source buffer does one thing at a time; what gathers meanwhile goes in as one piece. */
  #work(): void {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#closed || this.#source.readyState !== "open") return;
    if (this.#trimBefore !== null) {
      const end = this.#trimBefore;
      this.#trimBefore = null;
      buffer.remove(0, end);
    } else if (this.#queue.length > 0) {
      const bytes = joined(this.#queue);
      this.#queue = [];
      this.#append(buffer, bytes);
    }
  }

  #append(buffer: SourceBuffer, bytes: Uint8Array<ArrayBuffer>): void {
    try {
      buffer.appendBuffer(bytes);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      this.#fail(
        error.name === "QuotaExceededError"
          ? "The browser has no room for more video."
          : "The browser stopped taking video.",
      );
    }
  }

  #fail(reason: string): void {
    if (!this.#closed) this.#events.broken(reason);
  }
}

function joined(pieces: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [only] = pieces;
  if (only && pieces.length === 1) return only;
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
