/** Plays the video of a replay in a video element, also while it is still being drawn. */

import { errorMessage } from "../api/client";
import { MseSource, unsupportedReason } from "../player/mse-source";
import { FragmentReader, mimeOf } from "./fragmented-mp4";

/** The first frame may begin a little after 0. */
const START_S = 0.2;
const UNREACHABLE = "The connection to the orchestrator was lost.";

/**
 * A whole video is left to the browser, which asks for the ranges it needs. One that is still being
 * drawn has no length yet; its fragments are fed to a media source, so that all that is there can
 * be sought.
 */
export class ReplayVideo {
  readonly element: HTMLVideoElement;
  readonly #url: string;
  readonly #onChange: () => void;
  readonly #abort = new AbortController();
  #source: MseSource | null = null;
  /** A media source that was given up; the file takes its place once it is whole. */
  #gaveUp = false;
  #whole = false;
  #failure: string | null = null;

  constructor(element: HTMLVideoElement, url: string, onChange: () => void) {
    this.element = element;
    this.#url = url;
    this.#onChange = onChange;
    element.addEventListener("error", () => this.#onElementError(), { signal: this.#abort.signal });
    void this.#load();
  }

  /** Whether nothing more is to come. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Why there is no video, in a sentence. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Seconds from the start that can be played. */
  get available(): number {
    if (this.#source) return this.#source.buffered.at(-1)?.end ?? 0;
    const { duration } = this.element;
    return Number.isFinite(duration) ? duration : 0;
  }

  close(): void {
    this.#abort.abort();
    if (this.#source) this.#source.close();
    else {
      this.element.removeAttribute("src");
      this.element.load();
    }
  }

  async #load(again = false): Promise<void> {
    const download = new AbortController();
    const { signal } = this.#abort;
    let begun = false;
    try {
      const response = await fetch(this.#url, {
        signal: AbortSignal.any([signal, download.signal]),
      });
      if (!response.ok) this.#fail(await errorMessage(response));
      else if (response.headers.has("content-length")) {
        download.abort();
        this.#playFile();
      } else if (response.body) {
        begun = true;
        await this.#feed(response.body.getReader());
        this.#finish();
      }
    } catch (error) {
      // No connection, or aborted; anything else is a bug and belongs in the console.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      if (signal.aborted) return;
      // A video that breaks off is refused from then on, with the reason.
      if (begun && !again) await this.#load(true);
      else this.#fail(UNREACHABLE);
    }
  }

  async #feed(reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): Promise<void> {
    const fragments = new FragmentReader();
    let head = new Uint8Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      // Who stops reading ends the rendering.
      if (this.#gaveUp) continue;
      const next = fragments.push(value);
      if (this.#source) this.#source.append(next);
      else {
        head = new Uint8Array([...head, ...next]);
        const mime = mimeOf(head);
        if (mime) this.#openSource(mime, head);
      }
    }
  }

  #openSource(mime: string, head: Uint8Array<ArrayBuffer>): void {
    if (unsupportedReason(mime)) {
      this.#gaveUp = true;
      return;
    }
    this.#source = new MseSource(this.element, {
      appended: this.#onChange,
      // Its buffer is full, for instance.
      failed: () => {
        this.#gaveUp = true;
      },
    });
    this.#source.start(mime);
    this.#source.append(head);
  }

  #finish(): void {
    if (this.#gaveUp || this.#isIncomplete) this.#playFile();
    else this.#source?.end();
    this.#whole = true;
    this.#onChange();
  }

  /** Whether the browser has removed some of a long video again, to save memory. */
  get #isIncomplete(): boolean {
    const [first, ...others] = this.#source?.buffered ?? [];
    return others.length > 0 || (first?.start ?? 0) > START_S;
  }

  /** Leave the video to the browser, from the frame on screen. */
  #playFile(): void {
    const { currentTime } = this.element;
    this.#source?.close();
    this.#source = null;
    this.#whole = true;
    this.element.src = this.#url;
    if (currentTime > 0) this.element.currentTime = currentTime;
    this.#onChange();
  }

  #onElementError(): void {
    if (!this.#source) this.#fail("The browser could not play the video.");
    else if (this.#whole) this.#playFile();
    else this.#gaveUp = true;
  }

  #fail(reason: string): void {
    this.#failure = reason;
    this.#onChange();
  }
}
