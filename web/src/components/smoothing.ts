/** What remains of a noisy curve: its running mean, and the band that most values are in. */

/** Part of the values that is below the band, and above it. */
const OUTSIDE = 0.1;
/** Windows are compared at this many places at most: a plot has about as many pixels. */
const PLACES = 600;

export interface Band {
  low: number[];
  high: number[];
}

/**
 * Return the running mean at each point.
 *
 * The window covers `fraction` of the total weight; it is shorter at the start.
 *
 * @param weights of the points, such as how many episodes each stands for
 */
export function runningMean(
  ys: readonly number[],
  weights: readonly number[],
  fraction: number,
): number[] {
  const window = fraction * weights.reduce((sum, weight) => sum + weight, 0);
  let oldest = 0;
  let weight = 0;
  let sum = 0;
  return ys.map((y, i) => {
    const own = weights[i] ?? 0;
    weight += own;
    sum += own * y;
    for (let first = weights[oldest]; first !== undefined && oldest < i; first = weights[oldest]) {
      if (weight - first < window) break;
      weight -= first;
      sum -= first * (ys[oldest] ?? 0);
      oldest += 1;
    }
    return sum / weight;
  });
}

/**
 * Return the band between the 10th and the 90th percentile of the values around each point.
 *
 * @param fraction of all values that a window covers
 */
export function quantileBand(ys: readonly number[], fraction: number): Band {
  const half = Math.max(2, Math.round((fraction * ys.length) / 2));
  const stride = Math.max(1, Math.floor(ys.length / PLACES));
  const low: number[] = [];
  const high: number[] = [];
  let sorted: number[] = [];
  ys.forEach((_, i) => {
    if (i % stride === 0)
      sorted = ys.slice(Math.max(0, i - half), i + half + 1).sort((a, b) => a - b);
    low.push(quantile(sorted, OUTSIDE));
    high.push(quantile(sorted, 1 - OUTSIDE));
  });
  return { low, high };
}

/** Return a quantile of ascending values, interpolated. */
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return below + (at - Math.floor(at)) * (above - below);
}
