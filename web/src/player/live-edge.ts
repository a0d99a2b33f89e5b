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
}

export interface Advice {
  seekTo: number | null;
  rate: number;
  trimBefore: number | null;
}

/** The band in which the rate is left alone, and its middle. */
export const NEAREST = 0.1;
export const TARGET = 0.2;
export const FARTHEST = 0.3;
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
  const behind = last.end - playhead.time;
  const tooFar = playhead.landed ? SEEK_BEYOND : FARTHEST;
  const astray = playhead.time < last.start || behind < 0 || behind > tooFar;
  const seek = astray && (!playhead.landed || playhead.sinceSeek >= SEEK_PAUSE);
  const keepFrom = playhead.time - KEEP_BEHIND;
  return {
    seekTo: seek ? Math.max(last.start, last.end - TARGET) : null,
    rate: seek ? 1 : rateFor(behind, playhead.rate),
    trimBefore: first.start < keepFrom - TRIM_SLACK ? keepFrom : null,
  };
}

/** Outside the band the rate changes gently, and stays changed until the middle is reached. */
function rateFor(behind: number, rate: number): number {
  const tooFar = behind > FARTHEST || (rate > 1 && behind > TARGET);
  const tooNear = behind < NEAREST || (rate < 1 && behind < TARGET);
  if (tooNear) return SLOWEST;
  if (!tooFar) return 1;
  const wanted = 1 + (behind - TARGET) * 0.2;
  return Math.min(FASTEST, Math.max(1.02, Math.round(wanted * 100) / 100));
}
