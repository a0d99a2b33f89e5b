import type { CurvePoint } from "../api/schema";

/**
 * The mean return of the episodes up to each point, over the given share of all episodes.
 *
 * A point counts as often as it has episodes. At the start, where there are fewer, all of them count.
 */
export function runningMean(points: readonly CurvePoint[], share: number): number[] {
  const wanted = share * points.reduce((sum, point) => sum + point.episodes, 0);
  let oldest = 0;
  let episodes = 0;
  let returns = 0;
  return points.map((point, newest) => {
    episodes += point.episodes;
    returns += point.episodes * point.mean_return;
    for (let past = points[oldest]; past && oldest < newest; past = points[oldest]) {
      if (episodes - past.episodes < wanted) break;
      episodes -= past.episodes;
      returns -= past.episodes * past.mean_return;
      oldest += 1;
    }
    return returns / episodes;
  });
}
