/** Browser shell of the replay player: one clock, one seek bar, one or two videos in step. */

import { watchFrames } from "../player/video-frames";
import { changeSpeed, type ReplayCommand } from "./keys";
import { ReplayVideo } from "./replay-video";
import { leaderOf, stepTogether, type VideoState } from "./step-together";

const TICK_MS = 200;
const EVENTS = ["canplay", "waiting", "seeked", "ended", "timeupdate", "loadedmetadata"];
/** `HTMLMediaElement.HAVE_FUTURE_DATA`. */
const FUTURE_DATA = 3;
/** There is no frame at the very end of what has been drawn so far. */
const MARGIN_S = 0.1;
/** A playhead this close to a time is there. */
const SAME_S = 1e-4;

/** State of one video. */
export interface SidePlayback {
  /** Media time of the frame on screen, seconds; null before the first. */
  frame: number | null;
  /** Seconds from the start that can be played. */
  available: number;
  whole: boolean;
  failure: string | null;
}

export interface Playback {
  sides: readonly SidePlayback[];
  /** Time on the clock: that of the longest video, or what is being sought. */
  time: number;
  /** Whether it plays, or would if it had a picture. */
  playing: boolean;
  /** Whether it has to wait for a picture. */
  waiting: boolean;
  ended: boolean;
  speed: number;
  /** Whether there is a video at all; none failed or was left out. */
  playable: boolean;
}

interface Side {
  video: ReplayVideo | null;
  frame: number | null;
  /** Of the episode, seconds; infinite until it is known. */
  duration: number;
  excluded: boolean;
}

type ActiveSide = Side & { video: ReplayVideo };

export class ReplayPlayer {
  readonly #sides: Side[];
  readonly #listeners = new Set<() => void>();
  #playing: boolean;
  #speed = 1;
  /** Where to start, as soon as it is there. */
  #start: number | null;
  /** Sought while another seek was under way. */
  #nextSeek: number | null = null;
  /** What is being sought, until its frame is on screen. */
  #seeking: number | null = null;
  #state: Playback;

  /**
   * @param count number of videos
   * @param start where to start, seconds
   */
  constructor(count: number, { start, playing }: { start: number; playing: boolean }) {
    this.#sides = Array.from({ length: count }, () => ({
      video: null,
      frame: null,
      duration: Number.POSITIVE_INFINITY,
      excluded: false,
    }));
    this.#start = start;
    this.#playing = playing;
    this.#state = {
      sides: [],
      time: start,
      playing,
      waiting: true,
      ended: false,
      speed: 1,
      playable: true,
    };
  }

  get state(): Playback {
    return this.#state;
  }

  /** Call `listener` whenever `state` changes; returns the unsubscribe function. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Play `url` in an element; returns the function that ends this. */
  attach(index: number, element: HTMLVideoElement, url: string): () => void {
    const side = this.#sides[index] as Side;
    const abort = new AbortController();
    for (const type of EVENTS)
      element.addEventListener(type, () => this.#tick(), { signal: abort.signal });
    side.video = new ReplayVideo(element, url, () => this.#tick());
    watchFrames(element, abort.signal, (time) => {
      side.frame = time;
      this.#tick();
    });
    return () => {
      abort.abort();
      side.video?.close();
      side.video = null;
      side.frame = null;
      this.#tick();
    };
  }

  /** Tell the length of an episode, once it is known. */
  setDuration(index: number, seconds: number): void {
    (this.#sides[index] as Side).duration = seconds;
    this.#tick();
  }

  /** Stop a video that is not to be shown; the other plays alone. */
  exclude(index: number, excluded: boolean): void {
    const side = this.#sides[index] as Side;
    side.excluded = excluded;
    if (excluded) side.video?.element.pause();
    this.#tick();
  }

  /** Look after the videos until the returned function is called. */
  run(): () => void {
    const timer = setInterval(() => this.#tick(), TICK_MS);
    return () => clearInterval(timer);
  }

  /** Carry out a command, except a step by decisions, which needs the track. */
  execute(command: Exclude<ReplayCommand, { type: "step" }>): void {
    switch (command.type) {
      case "toggle-play":
        this.#togglePlay();
        break;
      case "skip":
        this.seek(this.#state.time + command.seconds);
        break;
      case "seek":
        this.seek(command.to === "start" ? 0 : Number.POSITIVE_INFINITY);
        break;
      case "speed":
        this.setSpeed(changeSpeed(this.#speed, command.change));
        break;
    }
  }

  pause(): void {
    this.#playing = false;
    this.#tick();
  }

  setSpeed(speed: number): void {
    this.#speed = speed;
    this.#tick();
  }

  /** Move all videos, as far as they are there. */
  seek(time: number): void {
    this.#start = null;
    this.#nextSeek = Math.max(0, time);
    this.#tick();
  }

  get #active(): ActiveSide[] {
    return this.#sides.filter(
      (side): side is ActiveSide =>
        side.video !== null && side.video.failure === null && !side.excluded,
    );
  }

  #togglePlay(): void {
    const { ended } = this.#state;
    if (ended) this.seek(0);
    this.#playing = ended || !this.#playing;
    this.#tick();
  }

  #tick(): void {
    const active = this.#active;
    this.#seekIfDue(active);
    const atRest = this.#start === null && this.#seeking === null;
    const orders = stepTogether(active.map(videoState), {
      playing: this.#playing && atRest,
      speed: this.#speed,
    });
    active.forEach(({ video: { element } }, i) => {
      const order = orders.videos[i];
      if (!order) return;
      element.playbackRate = element.defaultPlaybackRate = this.#speed;
      if (order.seekTo !== null && atRest) element.currentTime = order.seekTo;
      if (order.play === element.paused) this.#setPlaying(element, order.play);
    });
    if (orders.ended && atRest) this.#playing = false;
    const waiting = this.#start !== null || (this.#playing && atRest && orders.waiting);
    this.#update(waiting, orders.ended && atRest);
  }

  #seekIfDue(active: readonly ActiveSide[]): void {
    if (active.some(({ video: { element } }) => element.seeking || element.readyState === 0))
      return;
    this.#seeking = null;
    if (active.length === 0) return;
    const limit = limitOf(active);
    if (this.#start !== null && limit >= Math.min(this.#start, longest(active))) {
      this.#nextSeek = this.#start;
      this.#start = null;
    }
    if (this.#nextSeek === null) return;
    const target = Math.min(this.#nextSeek, limit);
    this.#nextSeek = null;
    for (const side of active) {
      const time = Math.min(target, durationOf(side));
      if (Math.abs(side.video.element.currentTime - time) < SAME_S) continue;
      side.video.element.currentTime = time;
      this.#seeking = target;
    }
  }

  #setPlaying(element: HTMLVideoElement, play: boolean): void {
    if (!play) {
      element.pause();
      return;
    }
    element.play().catch((error: unknown) => {
      if (!(error instanceof DOMException)) throw error;
      // Any other means that it was paused before it began.
      if (error.name === "NotAllowedError") this.pause();
    });
  }

  #update(waiting: boolean, ended: boolean): void {
    const active = this.#active;
    const leader = active[leaderOf(active.map(durationOf))]?.video.element;
    const state = {
      sides: this.#sides.map(sidePlayback),
      time: this.#start ?? this.#nextSeek ?? this.#seeking ?? leader?.currentTime ?? 0,
      playing: this.#playing,
      waiting,
      ended,
      speed: this.#speed,
      playable: active.length > 0,
    };
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

/** Return the length of the video, or until it is whole, that of the episode. */
function durationOf({ video, duration }: ActiveSide): number {
  const { duration: measured } = video.element;
  return video.whole && Number.isFinite(measured) ? measured : duration;
}

function longest(active: readonly ActiveSide[]): number {
  return Math.max(...active.map(durationOf));
}

/** Return the last time that can be sought in all videos. */
function limitOf(active: readonly ActiveSide[]): number {
  const growing = active
    .filter(({ video }) => !video.whole)
    .map(({ video }) => Math.max(0, video.available - MARGIN_S));
  return Math.min(longest(active), ...growing);
}

function videoState(side: ActiveSide): VideoState {
  const { element } = side.video;
  return {
    time: element.currentTime,
    duration: durationOf(side),
    ready: element.readyState >= FUTURE_DATA,
    seeking: element.seeking,
  };
}

function sidePlayback({ video, frame }: Side): SidePlayback {
  return {
    // At rest, the frame on screen is that of the playhead, which may lie between two frames.
    frame:
      video?.element.paused && !video.element.seeking && frame !== null
        ? video.element.currentTime
        : frame,
    available: video?.available ?? 0,
    whole: video?.whole ?? false,
    failure: video?.failure ?? null,
  };
}
