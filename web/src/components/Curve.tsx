import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { CurvePoint } from "../api/schema";
import { count, rate, roughly } from "./figures";
import { runningMean } from "./running-mean";

const HEIGHT = 280;
/** The running mean covers this share of all episodes. */
const SMOOTHING = 0.05;

/** The learning curve: mean return over the fleet's steps, with its running mean. */
export function Curve({ points }: { points: CurvePoint[] }) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const drawn = new uPlot(options(element), [[], [], []], element);
    plot.current = drawn;
    const observer = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
    };
  }, []);

  useEffect(() => {
    plot.current?.setData([
      points.map((point) => point.fleet_step),
      points.map((point) => point.mean_return),
      runningMean(points, SMOOTHING),
    ]);
  }, [points]);

  return <div className="curve" ref={frame} role="img" aria-label={inWords(points)} />;
}

function showNewest(plot: uPlot): void {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 });
}

function inWords(points: CurvePoint[]): string {
  const first = points.at(0);
  const last = points.at(-1);
  if (!first || !last) return "Learning curve, still empty.";
  return (
    `Learning curve: mean return from ${rate(first.mean_return)} at the start ` +
    `to ${rate(last.mean_return)} after ${count(last.fleet_step)} steps.`
  );
}

function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: token("--text-muted"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1 },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [
      { ...axis, values: (_, steps) => steps.map(roughly) },
      { ...axis, size: 56, values: (_, returns) => returns.map(roughly) },
    ],
    series: [
      { label: "Steps", value: (_, step) => count(step) },
      {
        label: "Return",
        stroke: token("--curve-raw"),
        width: 1,
        points: { show: false },
        value: (_, value) => rate(value),
      },
      {
        label: "Running mean",
        stroke: token("--accent"),
        width: 2,
        points: { show: false },
        value: (_, value) => rate(value),
      },
    ],
    cursor: { y: false },
    // Without a pointer over the plot its legend gives the newest figures.
    hooks: { setCursor: [showNewest], setData: [showNewest] },
  };
}
