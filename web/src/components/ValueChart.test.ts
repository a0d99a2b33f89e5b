import { expect, test } from "vitest";
import { thoughtAt } from "../testing/fixtures";
import { HEIGHT, ticks, valueLine, WIDTH } from "./ValueChart";

test("a gain points up, a loss down, and no reward is no line", () => {
  const thoughts = [
    thoughtAt(5, { reward: -50 }),
    thoughtAt(10, { reward: 0 }),
    thoughtAt(15, { reward: 100 }),
  ];
  const [loss, gain] = ticks(thoughts, 10);
  expect(ticks(thoughts, 10)).toHaveLength(2);
  expect(loss).toMatchObject({ x: 0, good: false });
  expect(gain).toMatchObject({ x: WIDTH, good: true, to: 1 });
  expect(loss?.to).toBeGreaterThan(HEIGHT / 2);
  expect(loss?.to).toBeLessThan(HEIGHT);
});

test("the value runs from the bottom at its least to the top at its greatest", () => {
  const line = valueLine([thoughtAt(0, { value: 2 }), thoughtAt(10, { value: 8 })], 10);
  expect(line).toBe(`0.0,${HEIGHT - 2}.0 ${WIDTH}.0,2.0`);
});

test("a value that doesn't change is a line in the middle", () => {
  expect(valueLine([thoughtAt(0), thoughtAt(10)], 10)).toBe("0.0,16.0 100.0,16.0");
});

test("nothing thought yet is nothing drawn", () => {
  expect(ticks([], 10)).toEqual([]);
  expect(valueLine([], 10)).toBe("");
});
