/** Tell whether a plot shows a part of its points only. */
export function isZoomed(
  xs: ArrayLike<number>,
  { min, max }: { min?: number | undefined; max?: number | undefined },
): boolean {
  const [first, last] = [xs[0], xs[xs.length - 1]];
  if (first === undefined || last === undefined) return false;
  return (min ?? first) > first || (max ?? last) < last;
}
