import { expect, test } from "vitest";
import { makeSaliency } from "../testing/fixtures";
import { saliencyPixels } from "./saliency";

test("alpha grows with saliency, from transparent to not quite opaque", () => {
  const pixels = saliencyPixels(makeSaliency(0, [0, 128, 255]));
  const alpha = [3, 7, 11].map((at) => pixels[at] ?? -1);
  expect(alpha[0]).toBe(0);
  expect(alpha[1]).toBeCloseTo((alpha[2] ?? 0) / 2, -1);
  expect(alpha[2]).toBeGreaterThan(150);
  expect(alpha[2]).toBeLessThan(255);
});

test("a truncated map is transparent where cells are missing", () => {
  const pixels = saliencyPixels({ ...makeSaliency(0, [255]), columns: 2 });
  expect(pixels).toHaveLength(8);
  expect(pixels[7]).toBe(0);
});
