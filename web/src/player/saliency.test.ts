import { expect, test } from "vitest";
import { attentionAt } from "../testing/fixtures";
import { heatOf } from "./saliency";

test("what isn't looked at hides nothing, what is looked at most is tinted most", () => {
  const pixels = heatOf(attentionAt(0, [0, 128, 255]));
  const opacity = [3, 7, 11].map((at) => pixels[at] ?? -1);
  expect(opacity[0]).toBe(0);
  expect(opacity[1]).toBeCloseTo((opacity[2] ?? 0) / 2, -1);
  expect(opacity[2]).toBeGreaterThan(150);
  expect(opacity[2]).toBeLessThan(255);
});

test("a map that came short is transparent where it ends", () => {
  const pixels = heatOf({ ...attentionAt(0, [255]), columns: 2 });
  expect(pixels).toHaveLength(8);
  expect(pixels[7]).toBe(0);
});
