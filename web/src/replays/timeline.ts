/** Geometry of the timeline: value curve and reward ticks over the length of an episode. */

import type { ReplayTrack } from "../api/schema";
import { downsample } from "../components/downsample";
import { polylinePoints } from "../components/polyline";
import { rewardTime } from "./track";

/** View box of one lane. */
export const WIDTH = 1_000;
export const HEIGHT = 40;
const MIDDLE = HEIGHT / 2;
/** More ticks than this could not be told apart. */
export const MAX_TICKS = 250;
/** Shorter ticks would not be seen beside a large reward. */
const MIN_TICK = 1.5;

/** Vertical line of a reward, from the middle; upwards if positive. */
export interface Tick {
  x: number;
  y: number;
  positive: boolean;
}

/**
 * Return the `points` of the value curve, for a timeline `span` seconds long; the last value holds
 * until the end of the episode.
 */
export function valueCurve({ times, values, duration_s }: ReplayTrack, span: number): string {
  const held = { xs: [...times, duration_s], ys: [...values, values.at(-1) ?? 0] };
  const { xs, ys } = downsample(held, WIDTH / 2);
  return polylinePoints(
    xs.map((time) => toX(time, span)),
    ys,
    HEIGHT,
  );
}

/**
 * Return the reward ticks, for a timeline `span` seconds long; rewards that are drawn at the same
 * place are added up.
 */
export function rewardTicks(track: ReplayTrack, span: number): Tick[] {
  const sums = new Map<number, number>();
  track.rewards.forEach((reward, step) => {
    if (reward === 0) return;
    const column = Math.round((toX(rewardTime(track, step), span) / WIDTH) * MAX_TICKS);
    sums.set(column, (sums.get(column) ?? 0) + reward);
  });
  const largest = Math.max(...[...sums.values()].map(Math.abs), Number.MIN_VALUE);
  return [...sums]
    .filter(([, reward]) => reward !== 0)
    .map(([column, reward]) => {
      const length = Math.max(MIN_TICK, (Math.abs(reward) / largest) * (MIDDLE - 1));
      return {
        x: (column / MAX_TICKS) * WIDTH,
        y: MIDDLE - Math.sign(reward) * length,
        positive: reward > 0,
      };
    });
}

/** Return the position of a time, in units of the view box. */
export function toX(time: number, span: number): number {
  return span > 0 ? WIDTH * Math.min(1, Math.max(0, time / span)) : 0;
}

/** Return the time at a pointer's position over an element. */
export function timeAtPointer(
  clientX: number,
  { left, width }: Pick<DOMRect, "left" | "width">,
  span: number,
): number {
  const share = width > 0 ? (clientX - left) / width : 0;
  return span * Math.min(1, Math.max(0, share));
}
