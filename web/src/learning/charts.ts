/** The lines of the learning page's charts, from what runs have recorded. */

import type { CurvePoint, LearningCurves } from "../api/schema";
import type { Series } from "../components/Plot";
import { quantileBand, runningMean } from "../components/smoothing";
import { RETURN } from "./terms";

export interface RunRecord {
  run: string;
  /** Of the run among all that are selected, which chooses its color. */
  number: number;
  returns: readonly CurvePoint[];
  learning: LearningCurves | null;
}

/** How curves are shown. */
export interface View {
  overTime: boolean;
  logarithmic: boolean;
  band: boolean;
  /** Window of the running mean, as a fraction of all points; 0: every point as it is. */
  smoothing: number;
}

/** Line colors by position; they repeat for further runs. */
const COLORS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];

/** Raw points of one curve, without those that are missing. */
export interface Points {
  xs: number[];
  ys: number[];
  weights: number[];
}

/** Return the names of all curves that any of the runs has. */
export function recordedCurves(records: readonly RunRecord[]): string[] {
  return records.flatMap(({ returns, learning }) => [
    ...(returns.length > 0 ? [RETURN] : []),
    ...Object.entries(learning?.values ?? {})
      .filter(([, values]) => values.some((value) => value !== null))
      .map(([name]) => name),
  ]);
}

/** Return the points of a curve of one run; steps are those of the fleet for returns. */
export function pointsOf(
  { returns, learning }: RunRecord,
  name: string,
  overTime: boolean,
): Points {
  if (name === RETURN)
    return {
      xs: returns.map(({ ended_at, fleet_step }) => (overTime ? ended_at : fleet_step)),
      ys: returns.map(({ mean_return }) => mean_return),
      weights: returns.map(({ episodes }) => episodes),
    };
  const values = learning?.values[name] ?? [];
  const all = (overTime ? learning?.times : learning?.steps) ?? [];
  const known = all.map((_, i) => i).filter((i) => values[i] !== null && values[i] !== undefined);
  return {
    xs: known.map((i) => all[i] as number),
    ys: known.map((i) => values[i] as number),
    weights: known.map(() => 1),
  };
}

/** Return the lines of one chart: a curve of each run that has it. */
export function linesOf(records: readonly RunRecord[], name: string, view: View): Series[] {
  return records.flatMap((record) => {
    const { xs, ys, weights } = pointsOf(record, name, view.overTime);
    if (xs.length === 0) return [];
    const line: Series = {
      name: record.run,
      color: COLORS[record.number % COLORS.length] as string,
      width: 2,
      xs,
      ys: view.smoothing > 0 ? runningMean(ys, weights, view.smoothing) : ys,
    };
    if (view.band && view.smoothing > 0) line.band = quantileBand(ys, view.smoothing);
    return [line];
  });
}

/** Return every point of all curves as comma-separated values, with a head. */
export function toCsv(records: readonly RunRecord[], names: readonly string[]): string {
  const learned = names.filter((name) => name !== RETURN);
  const rows: (string | number | null)[][] = [["run", "steps", "unix_time", RETURN, ...learned]];
  for (const { run, returns, learning } of records) {
    for (const { fleet_step, ended_at, mean_return } of returns)
      rows.push([run, fleet_step, ended_at, mean_return, ...learned.map(() => null)]);
    learning?.steps.forEach((step, i) => {
      const values = learned.map((name) => learning.values[name]?.[i] ?? null);
      rows.push([run, step, learning.times[i] ?? null, null, ...values]);
    });
  }
  return `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
}

function cell(value: string | number | null): string {
  if (typeof value !== "string") return value === null ? "" : String(value);
  return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}
