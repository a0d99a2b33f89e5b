import { useCallback, useMemo } from "react";
import { useNavigate } from "react-router";
import type { CurvePoint } from "../api/schema";
import { replayPath } from "../replays/urls";
import { formatCount, formatNumber } from "./format";
import { Plot, type Series } from "./Plot";
import { quantileBand, runningMean } from "./smoothing";

/** Window of the running mean and of the band, as a fraction of all episodes. */
const SMOOTHING = 0.05;

interface LearningCurveProps {
  points: readonly CurvePoint[];
  /** Worker whose curve it is; of all if left out. */
  worker?: number;
}

/** Running mean of the returns of the current run, with the band that most are in. */
export function LearningCurve({ points, worker }: LearningCurveProps) {
  const watch = useWatch();
  const onPick = useCallback(
    (_: number, step: number) => watch(null, step, worker ?? null),
    [watch, worker],
  );
  const series = useMemo<Series[]>(() => {
    const returns = points.map((point) => point.mean_return);
    return [
      {
        name: "Mean return",
        color: "--accent",
        width: 2,
        xs: points.map((point) => point.fleet_step),
        ys: runningMean(
          returns,
          points.map(({ episodes }) => episodes),
          SMOOTHING,
        ),
        band: quantileBand(returns, SMOOTHING),
      },
    ];
  }, [points]);
  return (
    <>
      <Plot series={series} label={describeCurve("Learning curve", points)} onPick={onPick} />
      <p className="detail curve-hint">
        The band has four in five of its points. Click the curve to watch an episode from then.
      </p>
    </>
  );
}

/** Return a function that leads to the replay nearest to a step of a run; null is the current. */
export function useWatch() {
  const navigate = useNavigate();
  return useCallback(
    (run: string | null, step: number, worker: number | null) =>
      void navigate(replayPath({ run, episode: { by: "step", step, worker } })),
    [navigate],
  );
}

/** Describe a curve of returns in a sentence. */
export function describeCurve(title: string, points: readonly CurvePoint[]): string {
  const first = points.at(0);
  const last = points.at(-1);
  if (!first || !last) return `${title}: no data yet.`;
  return (
    `${title}: mean return from ${formatNumber(first.mean_return)} at the start ` +
    `to ${formatNumber(last.mean_return)} after ${formatCount(last.fleet_step)} steps.`
  );
}
