import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { downsample, type Line, lastKnown, nearestLine } from "./downsample";
import { formatCount, formatNumber, formatTicks } from "./format";
import { isZoomed } from "./zoom";

const HEIGHT_PX = 280;
/** About the width of a wide plot in pixels. */
const COLUMNS = 1_200;

export interface Series extends Line {
  name: string;
  /** CSS custom property that holds the color. */
  color: string;
  width: number;
}

interface PlotProps {
  series: readonly Series[];
  /** Text alternative of the plot. */
  label: string;
  /** Called on a click, with the number of the nearest line and the step below the pointer. */
  onPick: (line: number, step: number) => void;
}

/** Line plot of returns over steps; the legend follows the pointer. */
export function Plot({ series, label, onPick }: PlotProps) {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => alignedData(series), [series]);
  const latestData = useRef(data);
  latestData.current = data;
  const latestOnPick = useRef(onPick);
  latestOnPick.current = onPick;
  // uPlot must be recreated when a line is added, removed or renamed, but not for new points.
  const shape = series.map(({ name, color, width }) => `${name}\n${color}\n${width}`).join("\n\n");

  useEffect(() => {
    const element = root.current;
    if (!element) return;
    const lines = shape.split("\n\n").map((line) => line.split("\n") as [string, string, string]);
    const created = new uPlot(options(element, lines), latestData.current, element);
    plot.current = created;
    const observer = new ResizeObserver(() =>
      created.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    observer.observe(element);
    created.over.addEventListener("click", () => pick(created, latestOnPick.current));
    return () => {
      observer.disconnect();
      created.destroy();
    };
  }, [shape]);

  useEffect(() => {
    if (plot.current) setData(plot.current, data);
  }, [data]);

  return <div className="plot" ref={root} role="img" aria-label={label} />;
}

/** Join all lines on a common x axis, with gaps where a line has no point. */
function alignedData(series: readonly Series[]): uPlot.AlignedData {
  const tables = series.map((line) => {
    const { xs, ys } = downsample(line, COLUMNS);
    return [[...xs], [...ys]] as uPlot.AlignedData;
  });
  return tables.length > 0 ? uPlot.join(tables) : [[]];
}

/** Show new points; a part that was zoomed in on stays as it is. */
function setData(plot: uPlot, data: uPlot.AlignedData): void {
  const zoomed = isZoomed(plot.data[0], plot.scales.x ?? {});
  plot.setData(data, !zoomed);
  if (zoomed) plot.redraw();
}

/** Report the point below the pointer; uPlot keeps clicks that end a zoom to itself. */
function pick(plot: uPlot, onPick: PlotProps["onPick"]): void {
  const { idx, top } = plot.cursor;
  const step = idx == null ? undefined : plot.data[0][idx];
  if (idx == null || step === undefined || top === undefined) return;
  const line = nearestLine(plot.data.slice(1), idx, plot.posToVal(top, "y"));
  if (line !== null) onPick(line, step);
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
    height: HEIGHT_PX,
    scales: { x: { time: false } },
    axes: [
      { ...axis, values: (_, steps, _axis, _space, increment) => formatTicks(steps, increment) },
      {
        ...axis,
        size: 56,
        values: (_, returns, _axis, _space, increment) => formatTicks(returns, increment),
      },
    ],
    series: [
      { label: "Steps", value: (_, step) => formatCount(step) },
      ...lines.map(([label, color, width]) => ({
        label,
        stroke: token(color),
        width: Number(width),
        spanGaps: true,
        points: { show: false },
        value: (plot: uPlot, _: number | null, line: number, index: number | null) =>
          formatNumber(index === null ? null : lastKnown(plot.data[line] ?? [], index)),
      })),
    ],
    cursor: { y: false },
    // Without a pointer over the plot the legend shows the newest values.
    hooks: { setCursor: [showNewest], setData: [showNewest] },
  };
}
