/** Fewer points that draw the same picture. Pure. */

export interface Line {
  xs: readonly number[];
  ys: readonly number[];
}

/**
 * The least and the greatest value of each of `columns` stretches of the x axis, in their order, with
 * the first and the last point: what a plot of that many pixels shows, peaks included.
 *
 * @param xs ascending
 */
export function decimate(line: Line, columns: number): Line {
  const { xs, ys } = line;
  const first = xs[0];
  const last = xs.at(-1);
  if (first === undefined || last === undefined || xs.length <= 2 * columns + 2) return line;
  const kept = new Set([0]);
  let from = 0;
  for (let column = 1; column <= columns; column++) {
    const edge = first + ((last - first) * column) / columns;
    let least = from;
    let greatest = from;
    let at = from;
    for (; at < xs.length && (xs[at] as number) <= edge; at++) {
      if ((ys[at] as number) < (ys[least] as number)) least = at;
      if ((ys[at] as number) > (ys[greatest] as number)) greatest = at;
    }
    if (at > from) for (const index of [least, greatest].sort((a, b) => a - b)) kept.add(index);
    from = at;
  }
  kept.add(xs.length - 1);
  const indices = [...kept];
  return { xs: indices.map((i) => xs[i] as number), ys: indices.map((i) => ys[i] as number) };
}

/** The value at `index`, or the last one before it: lines of several runs have their points apart. */
export function knownAt(
  values: ArrayLike<number | null | undefined>,
  index: number,
): number | null {
  for (let at = index; at >= 0; at--) {
    const value = values[at];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}
