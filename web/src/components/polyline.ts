/** Space above and below the line, so that its stroke is not clipped. */
const MARGIN = 2;

/**
 * Return the `points` of an SVG polyline, scaled to the full height between minimum and maximum.
 *
 * @param xs horizontal positions, in units of the viewBox
 * @param height of the viewBox
 */
export function polylinePoints(
  xs: readonly number[],
  values: readonly number[],
  height: number,
): string {
  const minimum = Math.min(...values);
  const range = Math.max(...values) - minimum;
  return values
    .map((value, i) => {
      const share = range > 0 ? (value - minimum) / range : 0.5;
      const y = height - MARGIN - share * (height - 2 * MARGIN);
      return `${(xs[i] as number).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
