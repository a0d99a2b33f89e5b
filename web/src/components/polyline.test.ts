import { expect, test } from "vitest";
import { HEIGHT, sparkPoints, WIDTH } from "./polyline";

test("the line runs over the whole width, the greatest value on top", () => {
  expect(sparkPoints([-100, 0, 100])).toBe(
    `0.0,${HEIGHT - 2}.0 ${WIDTH / 2}.0,12.0 ${WIDTH}.0,2.0`,
  );
});

test("equal values are a line in the middle, none are no line", () => {
  expect(sparkPoints([5, 5])).toBe(`0.0,12.0 ${WIDTH}.0,12.0`);
  expect(sparkPoints([])).toBe("");
});
