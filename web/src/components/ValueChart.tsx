import { RECENT_S, type ShownThought } from "../player/policy-track";
import { polylinePoints } from "./polyline";

export const WIDTH = 100;
export const HEIGHT = 32;
const MIDDLE = HEIGHT / 2;

/** Value estimate as a line and rewards as vertical ticks, over the last seconds. */
export function ValueChart({ thoughts }: { thoughts: readonly ShownThought[] }) {
  return (
    <svg
      className="value-chart"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Rewards and value of the last ${RECENT_S} seconds`}
    >
      {rewardTicks(thoughts).map(({ x, y, positive }) => (
        <line key={x} data-positive={positive} x1={x} x2={x} y1={MIDDLE} y2={y} />
      ))}
      <polyline points={valuePoints(thoughts)} />
    </svg>
  );
}

/** End of a vertical line that starts in the middle. */
export interface RewardTick {
  x: number;
  y: number;
  positive: boolean;
}

/**
 * Return a tick for each step with a reward, upwards if positive; its length is relative to the
 * largest reward shown. The newest step is at the right edge.
 */
export function rewardTicks(thoughts: readonly ShownThought[]): RewardTick[] {
  const largest = Math.max(...thoughts.map(({ reward }) => Math.abs(reward)), Number.MIN_VALUE);
  return thoughts
    .filter(({ reward }) => reward !== 0)
    .map((thought) => ({
      x: xOf(thought, thoughts),
      y: MIDDLE - (thought.reward / largest) * (MIDDLE - 1),
      positive: thought.reward > 0,
    }));
}

/** Return the values of those thoughts that have one, as points of a polyline. */
export function valuePoints(thoughts: readonly ShownThought[]): string {
  const known = thoughts.flatMap((thought) =>
    thought.value === null ? [] : [{ x: xOf(thought, thoughts), value: thought.value }],
  );
  const xs = known.map(({ x }) => x);
  const values = known.map(({ value }) => value);
  return polylinePoints(xs, values, HEIGHT);
}

function xOf(thought: ShownThought, thoughts: readonly ShownThought[]): number {
  const age = (thoughts.at(-1)?.time ?? 0) - thought.time;
  return WIDTH * (1 - age / RECENT_S);
}
