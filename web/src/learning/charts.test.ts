import { expect, test } from "vitest";
import { makeCurve } from "../testing/fixtures";
import { linesOf, pointsOf, type RunRecord, recordedCurves, toCsv, type View } from "./charts";
import { shownCurves, termOf } from "./terms";

const VIEW: View = { overTime: false, logarithmic: false, band: true, smoothing: 0.5 };

function record(run: string, changes: Partial<RunRecord> = {}): RunRecord {
  return {
    run,
    number: 0,
    returns: makeCurve(1, 3),
    learning: {
      steps: [1_024, 2_048],
      times: [1_790_000_010, 1_790_000_020],
      values: { "update/kl": [null, 0.5], "update/entropy": [null, null] },
    },
    ...changes,
  };
}

test("what nobody recorded has no chart, and known curves come first", () => {
  const recorded = recordedCurves([record("a"), record("b", { returns: [] })]);
  expect(shownCurves([...recorded, "zz/new", "episode/return"])).toEqual([
    "return",
    "update/kl",
    "zz/new",
  ]);
  expect(termOf("zz/new").name).toBe("zz/new");
});

test("points are over steps or time, without those that are missing", () => {
  expect(pointsOf(record("a"), "update/kl", false)).toEqual({
    xs: [2_048],
    ys: [0.5],
    weights: [1],
  });
  expect(pointsOf(record("a"), "return", true).xs).toEqual([1_790_000_000, 1_790_000_001]);
});

test("each run has a line in its color, smoothed, with its band", () => {
  const lines = linesOf([record("a"), record("b", { number: 1 })], "return", VIEW);
  expect(lines.map(({ name, color }) => [name, color])).toEqual([
    ["a", "--series-1"],
    ["b", "--series-2"],
  ]);
  expect(lines[0]?.ys).toEqual([1, 3]);
  expect(lines[0]?.band?.low).toHaveLength(2);
  const [raw] = linesOf([record("a")], "return", { ...VIEW, smoothing: 0 });
  expect(raw?.ys).toEqual([1, 3]);
  expect(raw?.band).toBeUndefined();
});

test("a run that lacks a curve has no line in its chart", () => {
  expect(linesOf([record("a", { learning: null })], "update/kl", VIEW)).toEqual([]);
});

test("CSV has every point, and quotes what needs it", () => {
  const csv = toCsv([record('a, "b"', { returns: makeCurve(1) })], ["return", "update/kl"]);
  expect(csv.split("\n")).toEqual([
    "run,steps,unix_time,return,update/kl",
    '"a, ""b""",0,1790000000,1,',
    '"a, ""b""",1024,1790000010,,',
    '"a, ""b""",2048,1790000020,,0.5',
    "",
  ]);
});
