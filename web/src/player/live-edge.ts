/**
 * Live-edge control: keeps the playhead close behind the newest frame without visible jumps.
 *
 * All times are media time in seconds. It starts at an arbitrary value (fragments carry the
 * stream's own clock), and a viewer that lost a GOP has a gap in its buffer.
 */

export interface TimeRange {
  start: number;
  end: number;
}

export interface Playhead {
  time: number;
  rate: number;
  /** False until the first frame is shown; until then the buffer may hold a replayed GOP. */
  started: boolean;
  /** Seconds of wall clock since the last seek. */
  sinceSeek: number;
  /** Wanted distance to the end of the buffer in seconds, from `TargetLatency`. */
  target: number;
}

export interface Correction {
  seekTo: number | null;
  rate: number;
  trimBefore: number | null;
}

/** Range of the target latency; with `DEAD_BAND_S` the playhead stays 0.1 to 0.3 s behind live. */
export const MIN_TARGET_S = 0.15;
export const MAX_TARGET_S = 0.25;
/** No rate change within this distance of the target. */
export const DEAD_BAND_S = 0.05;
/** Seek beyond this distance: catching up by rate would look like fast-forward. */
export const SEEK_THRESHOLD_S = 1;
/** Without a pause between seeks, a device that decodes too slowly would never show a frame. */
export const SEEK_COOLDOWN_S = 0.5;
export const MIN_RATE = 0.95;
export const MAX_RATE = 1.1;
export const BACK_BUFFER_S = 10;
/** Trim only once the back buffer exceeds its limit by this much: each removal has a cost. */
export const TRIM_SLACK_S = 10;

/** Compute the seek, playback rate and trim that keep the playhead at its target latency. */
export function correctPlayhead(buffered: readonly TimeRange[], playhead: Playhead): Correction {
  const first = buffered.at(0);
  const last = buffered.at(-1);
  if (!first || !last) return { seekTo: null, rate: 1, trimBefore: null };
  const { target } = playhead;
  const latency = last.end - playhead.time;
  const outOfRange = playhead.time < last.start || latency < 0 || latency > SEEK_THRESHOLD_S;
  const seek = outOfRange && (!playhead.started || playhead.sinceSeek >= SEEK_COOLDOWN_S);
  const keepFrom = playhead.time - BACK_BUFFER_S;
  // The first frame is the keyframe, which is shown soonest: all before a later one are decoded too.
  const isRecent = !playhead.started && last.end - last.start <= SEEK_THRESHOLD_S;
  return {
    seekTo: seek ? (isRecent ? last.start : Math.max(last.start, last.end - target)) : null,
    rate: seek ? 1 : correctRate(latency - target, playhead.rate),
    trimBefore: first.start < keepFrom - TRIM_SLACK_S ? keepFrom : null,
  };
}

/** Change the rate outside the dead band, and hold the change until the target is reached. */
function correctRate(excess: number, rate: number): number {
  const tooFar = excess > DEAD_BAND_S || (rate > 1 && excess > 0);
  const tooNear = excess < -DEAD_BAND_S || (rate < 1 && excess < 0);
  if (tooNear) return MIN_RATE;
  if (!tooFar) return 1;
  return Math.min(MAX_RATE, Math.max(1.02, Math.round((1 + excess * 0.2) * 100) / 100));
}

/** Added to the target latency on each stall. */
export const TARGET_STEP_S = 0.05;
/** Playback without a stall for this long takes one step back. */
export const STEP_DOWN_AFTER_MS = 20_000;

/** Adaptive target latency: grows on each stall, shrinks while playback is smooth. */
export class TargetLatency {
  #seconds = MIN_TARGET_S;
  #changedAt: number;

  /** @param now monotonic clock, milliseconds */
  constructor(private readonly now: () => number) {
    this.#changedAt = now();
  }

  get seconds(): number {
    const steps = Math.floor((this.now() - this.#changedAt) / STEP_DOWN_AFTER_MS);
    if (steps > 0) {
      this.#seconds = Math.max(MIN_TARGET_S, this.#seconds - steps * TARGET_STEP_S);
      this.#changedAt += steps * STEP_DOWN_AFTER_MS;
    }
    return this.#seconds;
  }

  /** Record a stall: playback ran out of buffered frames. */
  stalled(): void {
    this.#seconds = Math.min(MAX_TARGET_S, this.seconds + TARGET_STEP_S);
    this.#changedAt = this.now();
  }
}
