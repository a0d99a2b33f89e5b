/**
 * Where the playhead should be: close behind the newest picture, without visible jumps.
 *
 * All times are seconds of media time. It starts anywhere (fragments carry the stream's own clock),
 * and a viewer who lost a group of pictures has a gap in the buffer.
 */

export interface TimeRange {
  start: number;
  end: number;
}

export interface Playhead {
  time: number;
  rate: number;
  /** False until the first picture is shown: what is buffered then may be an old group. */
  landed: boolean;
  /** Seconds of wall clock since the last seek. */
  sinceSeek: number;
  /** Where to be, seconds behind the end of what is buffered; of a `Cushion`. */
  target: number;
}

export interface Advice {
  seekTo: number | null;
  rate: number;
  trimBefore: number | null;
}

/**
 * Where the playhead may be aimed at: as near as a steady line allows, farther where pictures come
 * unevenly. With `BAND` on both sides it is held between 0.1 and 0.3 s behind.
 */
export const NEAREST_TARGET = 0.15;
export const FARTHEST_TARGET = 0.25;
/** On both sides of the target the rate is left alone. */
export const BAND = 0.05;
/** Beyond this, catching up by rate would be seen as fast-forward. */
export const SEEK_BEYOND = 1;
/** A machine that decodes too slowly would otherwise seek all the time and show nothing. */
export const SEEK_PAUSE = 0.5;
export const SLOWEST = 0.95;
export const FASTEST = 1.1;
export const KEEP_BEHIND = 10;
/** Removing is cheap but not free, so it happens only once this much more has gathered. */
export const TRIM_SLACK = 10;

export function advise(buffered: readonly TimeRange[], playhead: Playhead): Advice {
  const first = buffered.at(0);
  const last = buffered.at(-1);
  if (!first || !last) return { seekTo: null, rate: 1, trimBefore: null };
  const { target } = playhead;
  const behind = last.end - playhead.time;
  const tooFar = playhead.landed ? SEEK_BEYOND : target + BAND;
  const astray = playhead.time < last.start || behind < 0 || behind > tooFar;
  const seek = astray && (!playhead.landed || playhead.sinceSeek >= SEEK_PAUSE);
  const keepFrom = playhead.time - KEEP_BEHIND;
  return {
    seekTo: seek ? Math.max(last.start, last.end - target) : null,
    rate: seek ? 1 : rateFor(behind - target, playhead.rate),
    trimBefore: first.start < keepFrom - TRIM_SLACK ? keepFrom : null,
  };
}

/** Outside the band the rate changes gently, and stays changed until the target is reached. */
function rateFor(excess: number, rate: number): number {
  const tooFar = excess > BAND || (rate > 1 && excess > 0);
  const tooNear = excess < -BAND || (rate < 1 && excess < 0);
  if (tooNear) return SLOWEST;
  if (!tooFar) return 1;
  return Math.min(FASTEST, Math.max(1.02, Math.round((1 + excess * 0.2) * 100) / 100));
}

/** Added to the target each time the pictures ran out. */
export const STEP = 0.05;
/** Milliseconds without running out, after which a step is taken back. */
export const CALM = 20_000;

/** How far behind live the playhead is aimed at: farther after each time that the pictures ran out. */
export class Cushion {
  #target = NEAREST_TARGET;
  #changedAt: number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(private readonly now: () => number) {
    this.#changedAt = now();
  }

  /** Seconds. */
  get target(): number {
    const calm = Math.floor((this.now() - this.#changedAt) / CALM);
    if (calm > 0) {
      this.#target = Math.max(NEAREST_TARGET, this.#target - calm * STEP);
      this.#changedAt += calm * CALM;
    }
    return this.#target;
  }

  /** Playback stood still for want of pictures. */
  ranOut(): void {
    this.#target = Math.min(FARTHEST_TARGET, this.target + STEP);
    this.#changedAt = this.now();
  }
}
