/** The last seconds of reward and value as lines of a small drawing. Pure. */

import type { ThoughtMessage } from "../api/schema";

export const WIDTH = 100;
export const HEIGHT = 32;

export interface Tick {
  x: number;
  from: number;
  to: number;
  good: boolean;
}

/**
 * A line for every decision that was rewarded: up from the middle for a gain, down for a loss, as
 * long as the reward is large beside the largest of these seconds. The newest is at the right.
 */
export function ticks(thoughts: readonly ThoughtMessage[], seconds: number): Tick[] {
  const largest = Math.max(...thoughts.map(({ reward }) => Math.abs(reward)), Number.MIN_VALUE);
  const middle = HEIGHT / 2;
  return thoughts
    .filter(({ reward }) => reward !== 0)
    .map((thought) => ({
      x: across(thought, thoughts, seconds),
      from: middle,
      to: middle - (thought.reward / largest) * (middle - 1),
      good: thought.reward > 0,
    }));
}

/** The value as points of an SVG polyline, from the least to the greatest of these seconds. */
export function valueLine(thoughts: readonly ThoughtMessage[], seconds: number): string {
  const values = thoughts.map(({ value }) => value);
  const least = Math.min(...values);
  const span = Math.max(...values) - least;
  return thoughts
    .map((thought) => {
      const share = span > 0 ? (thought.value - least) / span : 0.5;
      const y = HEIGHT - 2 - share * (HEIGHT - 4);
      return `${across(thought, thoughts, seconds).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

function across(
  thought: ThoughtMessage,
  thoughts: readonly ThoughtMessage[],
  seconds: number,
): number {
  const age = (thoughts.at(-1)?.time ?? 0) - thought.time;
  return WIDTH * (1 - age / seconds);
}
