import { expect, test } from "vitest";
import { actionBars, MAX_BARS } from "./ActionProbabilities";

test("actions are named, in the policy's order, with the chosen one marked", () => {
  expect(actionBars(["wait", "attack"], [0.3, 0.7], 1)).toEqual([
    { index: 0, name: "wait", probability: 0.3, chosen: false },
    { index: 1, name: "attack", probability: 0.7, chosen: true },
  ]);
});

test("of many actions the most probable are shown, and always the chosen one", () => {
  const probabilities = [0.01, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.09];
  const bars = actionBars([], probabilities, 0);
  expect(bars).toHaveLength(MAX_BARS);
  expect(bars.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(bars.at(0)).toMatchObject({ name: "action 0", chosen: true });
});

test("a continuous action space has no bars", () => {
  expect(actionBars([], [], null)).toEqual([]);
});
