import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { decimate, knownAt, type Line } from "./downsample";
import { count, rate, roughly } from "./format";

const HEIGHT = 280;
/** More columns than a wide plot has pixels would draw the same again. */
const COLUMNS = 1_200;

export interface Series extends Line {
  name: string;
  /** Name of a custom property of the style sheet. */
  colour: string;
  width: number;
}

interface PlotProps {
  series: readonly Series[];
  /** The plot in words, for those who don't see it. */
  label: string;
}

/** Returns over steps, as lines with a legend of their own that follows the pointer. */
export function Plot({ series, label }: PlotProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const drawn = useMemo(() => aligned(series), [series]);
  const newest = useRef(drawn);
  newest.current = drawn;
  // Another number of lines, or another name, needs a new plot; new points don't.
  const shape = series
    .map(({ name, colour, width }) => `${name}\n${colour}\n${width}`)
    .join("\n\n");

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const lines = shape.split("\n\n").map((line) => line.split("\n") as [string, string, string]);
    const made = new uPlot(options(element, lines), newest.current, element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(drawn), [drawn]);

  return <div className="curve" ref={frame} role="img" aria-label={label} />;
}

/** One table of all lines, as the plot wants it, with gaps where a line has no point. */
function aligned(series: readonly Series[]): uPlot.AlignedData {
  const tables = series.map((line) => {
    const { xs, ys } = decimate(line, COLUMNS);
    return [[...xs], [...ys]] as uPlot.AlignedData;
  });
  return tables.length > 0 ? uPlot.join(tables) : [[]];
}

function showNewest(plot: uPlot): void {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 });
}

function options(element: HTMLElement, lines: [string, string, string][]): uPlot.Options {
  const style = getComputedStyle(element);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: token("--text-muted"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: token("--line"), width: 1 },
    ticks: { show: false },
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
      ...lines.map(([label, colour, width]) => ({
        label,
        stroke: token(colour),
        width: Number(width),
        spanGaps: true,
        points: { show: false },
        value: (plot: uPlot, _: number | null, line: number, at: number | null) =>
          rate(at === null ? null : knownAt(plot.data[line] ?? [], at)),
      })),
    ],
    cursor: { y: false },
    // Without a pointer over the plot its legend gives the newest figures.
    hooks: { setCursor: [showNewest], setData: [showNewest] },
  };
}
