import { useMemo } from "react";
import type { CurvePoint } from "../api/schema";
import { count, rate } from "./format";
import { Plot, type Series } from "./Plot";
import { runningMean } from "./running-mean";

/** The running mean covers this share of all episodes. */
const SMOOTHING = 0.05;
/** Lines of several runs, in the order they are chosen; beyond these, colours come again. */
const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];

/** A learning curve: mean return over the steps, with its running mean. */
export function Curve({ points }: { points: readonly CurvePoint[] }) {
  const series = useMemo<Series[]>(() => {
    const xs = points.map((point) => point.fleet_step);
    const raw = points.map((point) => point.mean_return);
    return [
      { name: "Return", colour: "--curve-raw", width: 1, xs, ys: raw },
      {
        name: "Running mean",
        colour: "--accent",
        width: 2,
        xs,
        ys: runningMean(points, SMOOTHING),
      },
    ];
  }, [points]);
  return <Plot series={series} label={inWords("Learning curve", points)} />;
}

export interface RunCurve {
  run: string;
  points: readonly CurvePoint[];
}

/** The running means of several runs over each other. */
export function RunCurves({ curves }: { curves: readonly RunCurve[] }) {
  const series = useMemo<Series[]>(
    () =>
      curves.map(({ run, points }, i) => ({
        name: run,
        colour: COLOURS[i % COLOURS.length] as string,
        width: 2,
        xs: points.map((point) => point.fleet_step),
        ys: runningMean(points, SMOOTHING),
      })),
    [curves],
  );
  const label = curves.map(({ run, points }) => inWords(run, points)).join(" ");
  return <Plot series={series} label={label} />;
}

function inWords(what: string, points: readonly CurvePoint[]): string {
  const first = points.at(0);
  const last = points.at(-1);
  if (!first || !last) return `${what}: still empty.`;
  return (
    `${what}: mean return from ${rate(first.mean_return)} at the start ` +
    `to ${rate(last.mean_return)} after ${count(last.fleet_step)} steps.`
  );
}
