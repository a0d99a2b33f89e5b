import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { downsample, type Line, lastKnown, nearestLine } from "./downsample";
import { formatAxisTimes, formatCount, formatDateTime, formatNumber, formatTicks } from "./format";
import type { Band } from "./smoothing";
import { useLightTheme } from "./use-light-theme";
import { isZoomed } from "./zoom";

const HEIGHT_PX = 280;
/** About the width of a wide plot in pixels. */
const COLUMNS = 1_200;
const BAND_OPACITY = "2e";
/** Name of uPlot's scales that are a number's logarithm, or that of one which may be negative. */
const LOGARITHMIC = 3;
const INVERSE_HYPERBOLIC = 4;

export interface Series extends Line {
  name: string;
  /** CSS custom property that holds the color. */
  color: string;
  width: number;
  /** Shaded behind the line. */
  band?: Band;
}

interface PlotProps {
  series: readonly Series[];
  /** Text alternative of the plot. */
  label: string;
  /** The x axis has Unix times in seconds; else steps. */
  overTime?: boolean;
  logarithmic?: boolean;
  /** Called on a click, with the number of the nearest line and the x below the pointer. */
  onPick?: (line: number, x: number) => void;
}

/** Line plot over steps or time; the legend follows the pointer. */
export function Plot({ series, label, overTime = false, logarithmic = false, onPick }: PlotProps) {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => alignedData(series), [series]);
  const latestData = useRef(data);
  latestData.current = data;
  const latestOnPick = useRef(onPick);
  latestOnPick.current = onPick;
  const distribution = logarithmic ? logScale(series) : 1;
  // uPlot must be recreated when a line is added, removed or renamed, but not for new points.
  const shape = JSON.stringify({
    lines: series.map(({ name, color, width, band }) => ({ name, color, width, banded: !!band })),
    overTime,
    distribution,
    // A canvas keeps the colors that it was drawn with.
    light: useLightTheme(),
  });

  useEffect(() => {
    const element = root.current;
    if (!element) return;
    const wanted = JSON.parse(shape) as Shape;
    const created = new uPlot(options(element, wanted), latestData.current, element);
    plot.current = created;
    const observer = new ResizeObserver(() =>
      created.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    observer.observe(element);
    created.over.addEventListener("click", () => pick(created, wanted, latestOnPick.current));
    return () => {
      observer.disconnect();
      created.destroy();
    };
  }, [shape]);

  useEffect(() => {
    if (plot.current) setData(plot.current, data);
  }, [data]);

  return (
    <div
      className="plot"
      data-picks={onPick !== undefined}
      ref={root}
      role="img"
      aria-label={label}
    />
  );
}

interface Shape {
  lines: { name: string; color: string; width: number; banded: boolean }[];
  overTime: boolean;
  distribution: 1 | 3 | 4;
}

/** Return the kind of logarithmic scale that shows all values. */
function logScale(series: readonly Series[]): 3 | 4 {
  const isPositive = series.every(({ ys }) => ys.every((y) => y > 0));
  return isPositive ? LOGARITHMIC : INVERSE_HYPERBOLIC;
}

/** Join all lines on a common x axis, with gaps where a line has no point. */
function alignedData(series: readonly Series[]): uPlot.AlignedData {
  const tables = series.map(({ xs, ys, band }) => {
    if (band) return [[...xs], [...ys], band.low, band.high] as uPlot.AlignedData;
    const line = downsample({ xs, ys }, COLUMNS);
    return [[...line.xs], [...line.ys]] as uPlot.AlignedData;
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
function pick(plot: uPlot, { lines }: Shape, onPick: PlotProps["onPick"]): void {
  const { idx, top } = plot.cursor;
  const x = idx == null ? undefined : plot.data[0][idx];
  if (!onPick || idx == null || x === undefined || top === undefined) return;
  const columns = lineColumns(lines).map((column) => plot.data[column] ?? []);
  const line = nearestLine(columns, idx, plot.posToVal(top, "y"));
  if (line !== null) onPick(line, x);
}

/** Return the column of each line; those of its band follow it. */
function lineColumns(lines: Shape["lines"]): number[] {
  let next = 1;
  return lines.map(({ banded }) => {
    const column = next;
    next += banded ? 3 : 1;
    return column;
  });
}

function showNewest(plot: uPlot): void {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 });
}

function options(element: HTMLElement, { lines, overTime, distribution }: Shape): uPlot.Options {
  const style = getComputedStyle(element);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: token("--text-muted"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: token("--line"), width: 1 },
    ticks: { show: false },
  };
  const edge: uPlot.Series = { class: "band-edge", width: 0, points: { show: false } };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    scales: { x: { time: overTime }, y: { distr: distribution } },
    axes: [
      {
        ...axis,
        values: (_, xs, _axis, _space, increment) =>
          overTime ? formatAxisTimes(xs, increment) : formatTicks(xs, increment),
      },
      {
        ...axis,
        size: 56,
        values: (_, ys, _axis, _space, increment) =>
          distribution === 1 ? formatTicks(ys, increment) : ys.map((y) => formatNumber(y)),
      },
    ],
    series: [
      {
        label: overTime ? "Time" : "Steps",
        value: (_, x) => (overTime ? formatDateTime(1000 * x) : formatCount(x)),
      },
      ...lines.flatMap(({ name, color, width, banded }): uPlot.Series[] => [
        {
          label: name,
          stroke: token(color),
          width,
          spanGaps: true,
          points: { show: false },
          value: (plot: uPlot, _: number | null, line: number, index: number | null) =>
            formatNumber(index === null ? null : lastKnown(plot.data[line] ?? [], index)),
        },
        ...(banded
          ? [
              { ...edge, spanGaps: true },
              { ...edge, spanGaps: true },
            ]
          : []),
      ]),
    ],
    bands: lineColumns(lines).flatMap((column, i) => {
      const line = lines[i];
      const fill = `${token(line?.color ?? "--accent")}${BAND_OPACITY}`;
      return line?.banded ? [{ series: [column + 2, column + 1] as [number, number], fill }] : [];
    }),
    cursor: { y: false },
    // Without a pointer over the plot the legend shows the newest values.
    hooks: { setCursor: [showNewest], setData: [showNewest] },
  };
}
