import { expect, test } from "vitest";
import { polylinePoints } from "./polyline";

test("values span the height between minimum and maximum", () => {
  expect(polylinePoints([0, 48, 96], [-100, 0, 100], 24)).toBe("0.0,22.0 48.0,12.0 96.0,2.0");
});

test("constant values are a line in the middle", () => {
  expect(polylinePoints([0, 96], [5, 5], 24)).toBe("0.0,12.0 96.0,12.0");
});

test("no values are no points", () => {
  expect(polylinePoints([], [], 24)).toBe("");
});
