import { expect, test } from "vitest";
import { isZoomed } from "./zoom";

test.each([
  [[0, 5, 10], { min: 0, max: 10 }, false],
  [[0, 5, 10], { min: 2, max: 10 }, true],
  [[0, 5, 10], { min: 0, max: 8 }, true],
  [[0, 5, 10], {}, false],
  [[5], { min: 4, max: 6 }, false],
  [[], { min: 2, max: 3 }, false],
])("a plot of %s that shows %o is zoomed: %s", (xs, scale, zoomed) => {
  expect(isZoomed(xs, scale)).toBe(zoomed);
});
