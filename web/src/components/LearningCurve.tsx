import { useCallback, useMemo } from "react";
import { useNavigate } from "react-router";
import type { CurvePoint } from "../api/schema";
import { replayPath } from "../replays/urls";
import { formatCount, formatNumber } from "./format";
import { Plot, type Series } from "./Plot";
import { runningMean } from "./running-mean";

/** Window of the running mean, as a fraction of all episodes. */
const SMOOTHING = 0.05;
/** Line colors by position; they repeat for further runs. */
const COLORS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];

interface LearningCurveProps {
  points: readonly CurvePoint[];
  /** Worker whose curve it is; of all if left out. */
  worker?: number;
}

/** Mean return over steps of the current run, with its running mean; a click leads to a replay. */
export function LearningCurve({ points, worker }: LearningCurveProps) {
  const watch = useWatch();
  const onPick = useCallback(
    (_: number, step: number) => watch(null, step, worker ?? null),
    [watch, worker],
  );
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
  return (
    <>
      <Plot series={series} label={describe("Learning curve", points)} onPick={onPick} />
      <CurveHint />
    </>
  );
}

export interface RunCurve {
  run: string;
  points: readonly CurvePoint[];
  /** Of the run among all that are selected, which chooses its color. */
  number: number;
}

/** Running means of several runs in one plot; a click leads to a replay of the nearest run. */
export function RunCurves({ curves }: { curves: readonly RunCurve[] }) {
  const watch = useWatch();
  const onPick = useCallback(
    (line: number, step: number) => watch(curves[line]?.run ?? null, step, null),
    [watch, curves],
  );
  const series = useMemo<Series[]>(
    () =>
      curves.map(({ run, points, number }) => ({
        name: run,
        color: COLORS[number % COLORS.length] as string,
        width: 2,
        xs: points.map((point) => point.fleet_step),
        ys: runningMean(points, SMOOTHING),
      })),
    [curves],
  );
  const label = curves.map(({ run, points }) => describe(run, points)).join(" ");
  return (
    <>
      <Plot series={series} label={label} onPick={onPick} />
      <CurveHint />
    </>
  );
}

/** Return a function that leads to the replay nearest to a step of a run; null is the current. */
function useWatch() {
  const navigate = useNavigate();
  return useCallback(
    (run: string | null, step: number, worker: number | null) =>
      void navigate(replayPath({ run, episode: { by: "step", step, worker } })),
    [navigate],
  );
}

function CurveHint() {
  return <p className="detail curve-hint">Click the curve to watch an episode from then.</p>;
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
