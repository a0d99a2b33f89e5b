import { expect, test } from "vitest";
import { bitrate, count, duration, MISSING, rate, roughly, share, size } from "./format";

test.each([null, undefined, Number.NaN])(
  "a figure that isn't there is not shown as 0: %s",
  (missing) => {
    for (const format of [bitrate, count, duration, rate, roughly])
      expect(format(missing)).toBe(MISSING);
  },
);

test("counts have separators", () => expect(count(3823)).toBe("3,823"));

test("large figures are shortened only where their last digits don't matter", () => {
  expect([9_999, 12_345, 1_240_000].map(roughly)).toEqual(["9,999", "12.3K", "1.2M"]);
});

test("rates have tenths only where they say something", () => {
  expect([0, 29.94, 939.6].map(rate)).toEqual(["0.0", "29.9", "940"]);
});

test("small shares have tenths of a percent", () => expect(share(0.0144)).toBe("1.4 %"));

test("bitrates are in bit/s", () => {
  expect([840_000, 4_120_000].map(bitrate)).toEqual(["840 kbit/s", "4.1 Mbit/s"]);
});

test("durations have at most two parts", () => {
  expect([4.9, 61, 3_600 * 3 + 1_260, 86_400 * 2 + 14_400].map(duration)).toEqual([
    "4 s",
    "1 min",
    "3 h 21 min",
    "2 d 4 h",
  ]);
});

test("sizes are width by height", () => expect(size(1280, 720)).toBe("1280 × 720"));
