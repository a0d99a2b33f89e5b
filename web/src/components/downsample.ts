export interface Line {
  xs: readonly number[];
  ys: readonly number[];
}

/**
 * Reduce a line to the minimum and maximum of each column, plus its first and last point.
 *
 * A plot `columns` pixels wide looks the same, peaks included.
 *
 * @param xs ascending
 */
export function downsample(line: Line, columns: number): Line {
  const { xs, ys } = line;
  const first = xs[0];
  const last = xs.at(-1);
  if (first === undefined || last === undefined || xs.length <= 2 * columns + 2) return line;
  const kept = new Set([0]);
  let start = 0;
  for (let column = 1; column <= columns; column++) {
    const edge = first + ((last - first) * column) / columns;
    let lowest = start;
    let highest = start;
    let i = start;
    for (; i < xs.length && (xs[i] as number) <= edge; i++) {
      if ((ys[i] as number) < (ys[lowest] as number)) lowest = i;
      if ((ys[i] as number) > (ys[highest] as number)) highest = i;
    }
    if (i > start) for (const index of [lowest, highest].sort((a, b) => a - b)) kept.add(index);
    start = i;
  }
  kept.add(xs.length - 1);
  const indices = [...kept];
  return { xs: indices.map((i) => xs[i] as number), ys: indices.map((i) => ys[i] as number) };
}

/** Return the value at `index`, or the last one before it if there is a gap. */
export function lastKnown(
  values: ArrayLike<number | null | undefined>,
  index: number,
): number | null {
  for (let i = index; i >= 0; i--) {
    const value = values[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** Return the number of the line that is nearest to `y` at `index`; null if none has begun. */
export function nearestLine(
  lines: readonly ArrayLike<number | null | undefined>[],
  index: number,
  y: number,
): number | null {
  const distances = lines.map((values) => {
    const value = lastKnown(values, index);
    return value === null ? Number.POSITIVE_INFINITY : Math.abs(value - y);
  });
  const nearest = Math.min(...distances);
  return Number.isFinite(nearest) ? distances.indexOf(nearest) : null;
}
