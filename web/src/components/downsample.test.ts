import { expect, test } from "vitest";
import { downsample, lastKnown, nearestLine } from "./downsample";

const xs = Array.from({ length: 100_000 }, (_, i) => i * 10);

test("a hundred thousand points are reduced to two per column plus both ends", () => {
  const line = { xs, ys: xs.map((x) => Math.sin(x / 1_000)) };
  const startedAt = performance.now();
  const reduced = downsample(line, 800);
  expect(performance.now() - startedAt).toBeLessThan(500);
  expect(reduced.xs.length).toBeLessThanOrEqual(2 * 800 + 2);
  expect([reduced.xs.at(0), reduced.xs.at(-1)]).toEqual([0, 999_990]);
});

test("a single peak among many points is kept", () => {
  const ys = xs.map((x) => (x === 432_100 ? 99 : 0));
  const reduced = downsample({ xs, ys }, 500);
  expect(reduced.xs[reduced.ys.indexOf(99)]).toBe(432_100);
});

test("points stay in order, without duplicates", () => {
  const ys = xs.map((x) => (x * 7919) % 1009);
  const reduced = downsample({ xs, ys }, 300);
  const ascending = reduced.xs.every((x, i) => i === 0 || x > (reduced.xs[i - 1] as number));
  expect(ascending).toBe(true);
});

test("a short line is returned unchanged", () => {
  const line = { xs: [1, 2, 3], ys: [5, 4, 6] };
  expect(downsample(line, 100)).toBe(line);
  expect(downsample({ xs: [], ys: [] }, 100).xs).toEqual([]);
});

test("a gap takes the last known value", () => {
  const values = [null, 4, undefined, null, 7];
  expect([0, 1, 3, 4].map((index) => lastKnown(values, index))).toEqual([null, 4, 4, 7]);
});

test("the nearest line is found, also in its gaps, but not before its start", () => {
  const lines = [
    [1, null, 3],
    [null, 8, 9],
  ];
  expect(nearestLine(lines, 1, 7)).toBe(1);
  expect(nearestLine(lines, 1, 2)).toBe(0);
  expect(nearestLine(lines, 0, 9)).toBe(0);
  expect(nearestLine([], 0, 1)).toBeNull();
});
