import { expect, test } from "vitest";
import { runningMean } from "./running-mean";

function points(...returns: [mean: number, episodes: number][]) {
  return returns.map(([mean_return, episodes], i) => ({
    fleet_step: i,
    ended_at: i,
    mean_return,
    episodes,
  }));
}

test("the first points average all episodes so far", () => {
  expect(runningMean(points([2, 1], [4, 1]), 1)).toEqual([2, 3]);
});

test("points are weighted by their episodes", () => {
  expect(runningMean(points([0, 3], [8, 1]), 1)).toEqual([0, 2]);
});

test("old episodes leave the window", () => {
  expect(runningMean(points([0, 1], [0, 1], [6, 1], [6, 1]), 0.5)).toEqual([0, 0, 3, 6]);
});

test("no points give no mean", () => expect(runningMean([], 0.05)).toEqual([]));

test("a hundred thousand points take linear time", () => {
  const many = points(...Array.from({ length: 100_000 }, (_, i): [number, number] => [i % 7, 1]));
  const startedAt = performance.now();
  expect(runningMean(many, 0.05).at(-1)).toBeCloseTo(3, 1);
  expect(performance.now() - startedAt).toBeLessThan(500);
});
