import type { CurvePoint } from "../api/schema";

/**
 * Return the running mean of returns at each point, weighted by episodes.
 *
 * The window covers `fraction` of all episodes; it is shorter at the start.
 */
export function runningMean(points: readonly CurvePoint[], fraction: number): number[] {
  const window = fraction * points.reduce((sum, point) => sum + point.episodes, 0);
  let oldest = 0;
  let episodes = 0;
  let returns = 0;
  return points.map((point, i) => {
    episodes += point.episodes;
    returns += point.episodes * point.mean_return;
    for (let first = points[oldest]; first && oldest < i; first = points[oldest]) {
      if (episodes - first.episodes < window) break;
      episodes -= first.episodes;
      returns -= first.episodes * first.mean_return;
      oldest += 1;
    }
    return returns / episodes;
  });
}
