import { expect, test } from "vitest";
import { decimate, knownAt } from "./downsample";

const xs = Array.from({ length: 100_000 }, (_, i) => i * 10);

test("a hundred thousand points become two a column, with the first and the last", () => {
  const line = { xs, ys: xs.map((x) => Math.sin(x / 1_000)) };
  const began = performance.now();
  const drawn = decimate(line, 800);
  expect(performance.now() - began).toBeLessThan(500);
  expect(drawn.xs.length).toBeLessThanOrEqual(2 * 800 + 2);
  expect([drawn.xs.at(0), drawn.xs.at(-1)]).toEqual([0, 999_990]);
});

test("a single peak among many points is still seen", () => {
  const ys = xs.map((x) => (x === 432_100 ? 99 : 0));
  const drawn = decimate({ xs, ys }, 500);
  expect(drawn.xs[drawn.ys.indexOf(99)]).toBe(432_100);
});

test("the order of the points is kept, and none is drawn twice", () => {
  const ys = xs.map((x) => (x * 7919) % 1009);
  const drawn = decimate({ xs, ys }, 300);
  const ascending = drawn.xs.every((x, i) => i === 0 || x > (drawn.xs[i - 1] as number));
  expect(ascending).toBe(true);
});

test("few points are left as they are", () => {
  const line = { xs: [1, 2, 3], ys: [5, 4, 6] };
  expect(decimate(line, 100)).toBe(line);
  expect(decimate({ xs: [], ys: [] }, 100).xs).toEqual([]);
});

test("between its points a line has the value of the last one", () => {
  const values = [null, 4, undefined, null, 7];
  expect([0, 1, 3, 4].map((index) => knownAt(values, index))).toEqual([null, 4, 4, 7]);
});
