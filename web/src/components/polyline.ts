/** A line of numbers as points of a small drawing. Pure. */

export const WIDTH = 96;
export const HEIGHT = 24;

/** Points of an SVG polyline over the whole width, from the least at the bottom to the greatest. */
export function sparkPoints(values: readonly number[]): string {
  const least = Math.min(...values);
  const span = Math.max(...values) - least;
  return values
    .map((value, i) => {
      const x = values.length > 1 ? (WIDTH * i) / (values.length - 1) : WIDTH;
      const y = HEIGHT - 2 - (span > 0 ? (value - least) / span : 0.5) * (HEIGHT - 4);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
