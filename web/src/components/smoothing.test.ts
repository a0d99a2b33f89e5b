import { expect, test } from "vitest";
import { quantileBand, runningMean } from "./smoothing";

test("the first points average everything so far", () => {
  expect(runningMean([2, 4], [1, 1], 1)).toEqual([2, 3]);
});

test("points are weighted", () => {
  expect(runningMean([0, 8], [3, 1], 1)).toEqual([0, 2]);
});

test("old points leave the window", () => {
  expect(runningMean([0, 0, 6, 6], [1, 1, 1, 1], 0.5)).toEqual([0, 0, 3, 6]);
});

test("no points give no mean and no band", () => {
  expect(runningMean([], [], 0.05)).toEqual([]);
  expect(quantileBand([], 0.05)).toEqual({ low: [], high: [] });
});

test("a hundred thousand points take linear time", () => {
  const many = Array.from({ length: 100_000 }, (_, i) => i % 7);
  const startedAt = performance.now();
  expect(runningMean(many, many.fill(1), 0.05).at(-1)).toBe(1);
  expect(performance.now() - startedAt).toBeLessThan(500);
});

test("the band leaves out a tenth of the values around a point on either side", () => {
  const ys = Array.from({ length: 101 }, (_, i) => i);
  const { low, high } = quantileBand(ys, 2);
  expect([low[0], high[0]]).toEqual([10, 90]);
  expect([low[100], high[100]]).toEqual([10, 90]);
});

test("the band follows the curve, and a single outlier does not widen it", () => {
  const ys = Array.from({ length: 400 }, (_, i) => (i === 100 ? 1_000 : i < 200 ? 0 : 5));
  const { low, high } = quantileBand(ys, 0.05);
  expect([low[100], high[100]]).toEqual([0, 0]);
  expect([low[300], high[300]]).toEqual([5, 5]);
});
