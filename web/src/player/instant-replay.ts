/**
 * Instant replay of a live stream: plays a clip of its past, while the stream goes on underneath.
 *
 * A short clip is fetched at first, so that it starts at once over a slow line too; the whole past
 * that the worker keeps follows for a viewer who goes back farther.
 */

import type { ThoughtMessage } from "../api/schema";
import { type Clip, type FetchClip, KEPT_S } from "./clip";
import { type PolicyView, RECENT_S, ROUNDING_S } from "./policy-track";
import { watchFrames } from "./video-frames";

/** Seconds that one press goes back. */
export const STEP_S = 10;
/** Length of the first clip: a step back, and a press or two less than a second late. */
export const FIRST_CLIP_S = 20;
export const SLOW = 0.5;
/** The clock on screen shows whole seconds. */
const CLOCK_MS = 250;
const MESSAGE_MS = 6_000;

export interface InstantReplayView {
  mode: "live" | "loading" | "replay";
  /** Null until one is loaded, and once the viewer is back at the live stream. */
  clip: Clip | null;
  /** Seconds from the frame on screen to the live one. */
  behind: number;
  /** Seconds from the frame on screen to the end of the clip, at most 0. */
  offset: number;
  slow: boolean;
  /** What the policy thought at the frame on screen. */
  policy: PolicyView;
  /** Why there is no replay, in a sentence; null if nothing failed. */
  problem: string | null;
}

const NO_POLICY: PolicyView = { actions: [], thought: null, recent: [], saliency: null };
const LIVE: InstantReplayView = {
  mode: "live",
  clip: null,
  behind: 0,
  offset: 0,
  slow: false,
  policy: NO_POLICY,
  problem: null,
};

export class InstantReplay {
  readonly #worker: string;
  readonly #fetchClip: FetchClip;
  readonly #listeners = new Set<() => void>();
  #view = LIVE;
  #video: HTMLVideoElement | null = null;
  #stopWatching = new AbortController();
  #loading: AbortController | null = null;
  #loadingSeconds = 0;
  /** `performance.now()` when the frame to start at was captured. */
  #startAt = 0;
  #clock: ReturnType<typeof setInterval> | null = null;
  #problemTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(worker: string, fetchClip: FetchClip) {
    this.#worker = worker;
    this.#fetchClip = fetchClip;
  }

  get view(): InstantReplayView {
    return this.#view;
  }

  /** Call `listener` whenever `view` changes; returns the unsubscribe function. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Play on a video element whose source is the clip's URL; null before it is removed. */
  attach(video: HTMLVideoElement | null): void {
    this.#stopWatching.abort();
    this.#stopWatching = new AbortController();
    this.#video = video;
    if (!video) return;
    const { signal } = this.#stopWatching;
    video.addEventListener("loadedmetadata", () => this.#start(video), { signal });
    video.addEventListener("ended", () => this.#onEnded(), { signal });
    video.addEventListener("error", () => this.#fail("This browser can't play the clip."), {
      signal,
    });
    watchFrames(video, signal, (time) => this.#onFrame(time));
  }

  /** Go back `STEP_S` seconds, or to the beginning. */
  goBack(): void {
    const from = this.#loading ? this.#startAt : this.#playingAt();
    this.#goTo(from - 1000 * STEP_S);
  }

  /** Move to `offset` seconds, at most 0, from the end of the clip. */
  seek(offset: number): void {
    const { clip } = this.#view;
    if (clip) this.#goTo(clip.endedAt + 1000 * offset);
  }

  /** Toggle slow motion, which lasts until the viewer is back at the live stream. */
  toggleSlow(): void {
    if (this.#view.mode === "live") return;
    this.#update({ slow: !this.#view.slow });
    if (this.#video) this.#video.playbackRate = this.#view.slow ? SLOW : 1;
  }

  /** Return to the live stream. */
  goLive(): void {
    this.#loading?.abort();
    this.#loading = null;
    clearTimeout(this.#problemTimer);
    if (this.#clock !== null) clearInterval(this.#clock);
    this.#clock = null;
    if (this.#view.clip) URL.revokeObjectURL(this.#view.clip.url);
    if (this.#view !== LIVE) this.#set(LIVE);
  }

  /** Return `performance.now()` of when the frame on screen was captured. */
  #playingAt(): number {
    const { clip } = this.#view;
    if (!clip || !this.#video) return performance.now();
    return clip.endedAt - 1000 * (this.#video.duration - this.#video.currentTime);
  }

  #goTo(capturedAt: number): void {
    this.#startAt = capturedAt;
    const { clip } = this.#view;
    if (!clip) {
      const back = (performance.now() - capturedAt) / 1000;
      this.#load(back < FIRST_CLIP_S - 1 ? FIRST_CLIP_S : KEPT_S);
    } else if (clip.seconds < KEPT_S && this.#timeOf(capturedAt) < 0) {
      this.#load(KEPT_S);
    } else if (this.#video) {
      this.#seekVideo(this.#video);
    }
  }

  /** Return the time in the clip of what was captured then. */
  #timeOf(capturedAt: number): number {
    const { clip } = this.#view;
    if (!clip || !this.#video) return 0;
    return this.#video.duration + (capturedAt - clip.endedAt) / 1000;
  }

  #load(seconds: number): void {
    if (this.#loading && this.#loadingSeconds >= seconds) return;
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.#loadingSeconds = seconds;
    if (this.#view.mode === "live") this.#update({ mode: "loading", problem: null });
    this.#fetchClip(this.#worker, seconds, loading.signal).then(
      (clip) => {
        if (loading.signal.aborted) URL.revokeObjectURL(clip.url);
        else this.#show(clip);
      },
      (error: Error) => {
        if (!loading.signal.aborted) this.#fail(error.message);
      },
    );
  }

  #show(clip: Clip): void {
    this.#loading = null;
    if (this.#view.clip) URL.revokeObjectURL(this.#view.clip.url);
    this.#update({ clip });
    this.#clock ??= setInterval(() => this.#tick(), CLOCK_MS);
  }

  #start(video: HTMLVideoElement): void {
    video.playbackRate = this.#view.slow ? SLOW : 1;
    this.#seekVideo(video);
    // Muted, so no browser refuses; a rejection means that the clip was replaced meanwhile.
    video.play().catch(() => {});
  }

  #seekVideo(video: HTMLVideoElement): void {
    if (!Number.isFinite(video.duration)) return;
    video.currentTime = Math.min(Math.max(0, this.#timeOf(this.#startAt)), video.duration);
    this.#tick();
  }

  /** Return to live, unless the viewer has just gone back to what is still being fetched. */
  #onEnded(): void {
    if (!this.#loading) this.goLive();
  }

  #onFrame(time: number): void {
    const { clip } = this.#view;
    if (!clip) return;
    if (this.#view.mode === "loading") this.#update({ mode: "replay" });
    const policy = policyAt(clip, time);
    if (policy.thought !== this.#view.policy.thought) this.#update({ policy });
  }

  #tick(): void {
    if (!this.#view.clip || !this.#video || !Number.isFinite(this.#video.duration)) return;
    const behind = Math.max(0, (performance.now() - this.#playingAt()) / 1000);
    const offset = Math.min(0, this.#video.currentTime - this.#video.duration);
    this.#update({ behind, offset });
  }

  #fail(problem: string): void {
    this.goLive();
    this.#update({ problem });
    this.#problemTimer = setTimeout(() => this.#update({ problem: null }), MESSAGE_MS);
  }

  #update(changes: Partial<InstantReplayView>): void {
    this.#set({ ...this.#view, ...changes });
  }

  #set(view: InstantReplayView): void {
    this.#view = view;
    for (const listener of this.#listeners) listener();
  }
}

/** Return what the policy thought at a time of a clip. */
export function policyAt({ actions, thoughts }: Clip, time: number): PolicyView {
  const isDue = (thought: ThoughtMessage) => thought.time <= time + ROUNDING_S;
  const last = thoughts.findLastIndex(isDue);
  const thought = thoughts[last] ?? null;
  const recent = thoughts.slice(0, last + 1).filter((each) => each.time > time - RECENT_S);
  return { actions, thought, recent, saliency: null };
}

/** Format how far behind the live stream the picture is: “−12 s”. */
export function formatBehind(seconds: number): string {
  return `−${Math.round(seconds)} s`;
}
