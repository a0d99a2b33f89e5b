import { expect, test } from "vitest";
import { RECENT_S } from "../player/policy-track";
import { makeThought } from "../testing/fixtures";
import { HEIGHT, rewardTicks, valuePoints, WIDTH } from "./ValueChart";

test("rewards point up if positive and down if negative; a reward of 0 has no tick", () => {
  const thoughts = [
    makeThought(5, { reward: -50 }),
    makeThought(10, { reward: 0 }),
    makeThought(5 + RECENT_S, { reward: 100 }),
  ];
  const [loss, gain] = rewardTicks(thoughts);
  expect(rewardTicks(thoughts)).toHaveLength(2);
  expect(loss).toMatchObject({ x: 0, positive: false });
  expect(gain).toMatchObject({ x: WIDTH, positive: true, y: 1 });
  expect(loss?.y).toBeGreaterThan(HEIGHT / 2);
  expect(loss?.y).toBeLessThan(HEIGHT);
});

test("values span the width by age and the height by size", () => {
  const points = valuePoints([makeThought(0, { value: 2 }), makeThought(RECENT_S, { value: 8 })]);
  expect(points).toBe(`0.0,${HEIGHT - 2}.0 ${WIDTH}.0,2.0`);
});

test("a constant value is a line in the middle", () => {
  expect(valuePoints([makeThought(0), makeThought(RECENT_S)])).toBe("0.0,16.0 100.0,16.0");
});

test("nothing is drawn before the first thought", () => {
  expect(rewardTicks([])).toEqual([]);
  expect(valuePoints([])).toBe("");
});
