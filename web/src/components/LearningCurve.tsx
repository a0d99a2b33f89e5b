import { useMemo } from "react";
import type { CurvePoint } from "../api/schema";
import { formatCount, formatNumber } from "./format";
import { Plot, type Series } from "./Plot";
import { runningMean } from "./running-mean";

/** Window of the running mean, as a fraction of all episodes. */
const SMOOTHING = 0.05;
/** Line colors by position; they repeat for further runs. */
const COLORS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];

/** Mean return over steps, with its running mean. */
export function LearningCurve({ points }: { points: readonly CurvePoint[] }) {
  const series = useMemo<Series[]>(() => {
    const xs = points.map((point) => point.fleet_step);
    const returns = points.map((point) => point.mean_return);
    return [
      { name: "Return", color: "--curve-raw", width: 1, xs, ys: returns },
      {
        name: "Running mean",
        color: "--accent",
        width: 2,
        xs,
        ys: runningMean(points, SMOOTHING),
      },
    ];
  }, [points]);
  return <Plot series={series} label={describe("Learning curve", points)} />;
}

export interface RunCurve {
  run: string;
  points: readonly CurvePoint[];
}

/** Running means of several runs in one plot. */
export function RunCurves({ curves }: { curves: readonly RunCurve[] }) {
  const series = useMemo<Series[]>(
    () =>
      curves.map(({ run, points }, i) => ({
        name: run,
        color: COLORS[i % COLORS.length] as string,
        width: 2,
        xs: points.map((point) => point.fleet_step),
        ys: runningMean(points, SMOOTHING),
      })),
    [curves],
  );
  const label = curves.map(({ run, points }) => describe(run, points)).join(" ");
  return <Plot series={series} label={label} />;
}

function describe(title: string, points: readonly CurvePoint[]): string {
  const first = points.at(0);
  const last = points.at(-1);
  if (!first || !last) return `${title}: no data yet.`;
  return (
    `${title}: mean return from ${formatNumber(first.mean_return)} at the start ` +
    `to ${formatNumber(last.mean_return)} after ${formatCount(last.fleet_step)} steps.`
  );
}
