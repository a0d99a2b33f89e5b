import { expect, test } from "vitest";
import {
  formatBitrate,
  formatClock,
  formatCompact,
  formatCount,
  formatDuration,
  formatFinePercent,
  formatNumber,
  formatResolution,
  formatTicks,
  MISSING,
} from "./format";

test.each([null, undefined, Number.NaN])("a missing value is shown as a dash: %s", (missing) => {
  for (const formatter of [formatBitrate, formatCount, formatDuration, formatNumber, formatCompact])
    expect(formatter(missing)).toBe(MISSING);
});

test("counts have thousands separators", () => expect(formatCount(3823)).toBe("3,823"));

test("numbers from ten thousand are abbreviated", () => {
  expect([9_999, 12_345, 1_240_000].map(formatCompact)).toEqual(["9,999", "12.3K", "1.2M"]);
});

test("numbers have three digits, and below a hundred one decimal at least", () => {
  expect([0, 5, 29.94, 939.6].map(formatNumber)).toEqual(["0.0", "5.0", "29.9", "940"]);
  expect([0.934, 0.938, -0.0123, 5.254].map(formatNumber)).toEqual([
    "0.93",
    "0.94",
    "−0.012",
    "5.25",
  ]);
});

test.each([
  [[-2.5, 0, 2.5, 5], 2.5, ["−2.5", "0", "2.5", "5.0"]],
  [[0.25, 0.5, 0.75], 0.25, ["0.25", "0.50", "0.75"]],
  [[0, 0.001, 0.002], 0.001, ["0", "0.001", "0.002"]],
  [[-3, 0, 3, 6], 3, ["−3", "0", "3", "6"]],
  [[1_000, 2_000, 9_000], 1_000, ["1,000", "2,000", "9,000"]],
  [[0, 12_500, 25_000], 12_500, ["0", "12.5K", "25.0K"]],
  [[12_000, 12_050, 12_100], 50, ["12.00K", "12.05K", "12.10K"]],
  [[0, 500_000, 1_000_000], 500_000, ["0", "0.5M", "1.0M"]],
])("labels of an axis have the digits that tell them apart: %s", (values, increment, labels) => {
  expect(formatTicks(values, increment)).toEqual(labels);
});

test("fine percentages have one decimal", () => expect(formatFinePercent(0.0144)).toBe("1.4%"));

test("bitrates are in bit/s", () => {
  expect([840_000, 4_120_000].map(formatBitrate)).toEqual(["840 kbit/s", "4.1 Mbit/s"]);
});

test("the time in a video has tenths, and hours if it needs them", () => {
  expect([0, 7.24, 59.96, 727.2, 3_727.2].map(formatClock)).toEqual([
    "0:00.0",
    "0:07.2",
    "1:00.0",
    "12:07.2",
    "1:02:07.2",
  ]);
  expect(formatClock(null)).toBe(MISSING);
});

test("durations have at most two parts", () => {
  expect([4.9, 61, 3_600 * 3 + 1_260, 86_400 * 2 + 14_400].map(formatDuration)).toEqual([
    "4 s",
    "1 min",
    "3 h 21 min",
    "2 d 4 h",
  ]);
});

test("resolutions are width by height", () =>
  expect(formatResolution(1280, 720)).toBe("1280 × 720"));
