import { type CSSProperties, memo, type PointerEvent, useState } from "react";
import type { ReplayTrack } from "../api/schema";
import { HEIGHT, rewardTicks, timeAtPointer, toX, valueCurve, WIDTH } from "../replays/timeline";
import { formatClock } from "./format";

/** Episode on the timeline. */
export interface Lane {
  name: string;
  track: ReplayTrack;
  /** Seconds from the start that can be played. */
  available: number;
}

interface ReplayTimelineProps {
  lanes: readonly Lane[];
  time: number;
  onSeek: (time: number) => void;
}

/**
 * Seek bar with a lane for each episode: its value curve and reward ticks. The keys that move it
 * are those of the whole page.
 */
export function ReplayTimeline({ lanes, time, onSeek }: ReplayTimelineProps) {
  const [hovered, setHovered] = useState<number | null>(null);
  const span = Math.max(...lanes.map(({ track }) => track.duration_s));
  const shown = Math.min(time, span);

  const timeOf = (event: PointerEvent<HTMLElement>) =>
    timeAtPointer(event.clientX, event.currentTarget.getBoundingClientRect(), span);
  const onPointerDown = (event: PointerEvent<HTMLElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    onSeek(timeOf(event));
  };
  const onPointerMove = (event: PointerEvent<HTMLElement>) => {
    setHovered(timeOf(event));
    if (event.currentTarget.hasPointerCapture(event.pointerId)) onSeek(timeOf(event));
  };

  return (
    <div
      className="timeline"
      role="slider"
      tabIndex={0}
      aria-label="Position in the episode"
      aria-valuemin={0}
      aria-valuemax={span}
      aria-valuenow={shown}
      aria-valuetext={`${formatClock(shown)} of ${formatClock(span)}`}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerLeave={() => setHovered(null)}
    >
      {lanes.map((lane) => (
        <div
          key={lane.name}
          className="timeline-lane"
          style={shares({ drawn: lane.available / span, length: lane.track.duration_s / span })}
        >
          {lanes.length > 1 && <span className="timeline-name">{lane.name}</span>}
          <LaneShape track={lane.track} span={span} />
        </div>
      ))}
      <div className="timeline-played" style={shares({ time: shown / span })} />
      {hovered !== null && (
        <output className="timeline-hover" style={shares({ time: hovered / span })}>
          {formatClock(hovered)}
        </output>
      )}
    </div>
  );
}

/** Set custom properties to shares of the width. */
function shares(values: Readonly<Record<string, number>>): CSSProperties {
  const properties = Object.entries(values).map(([name, share]) => [
    `--${name}`,
    Math.min(1, Math.max(0, share)),
  ]);
  return Object.fromEntries(properties) as CSSProperties;
}

const LaneShape = memo(function LaneShape({ track, span }: { track: ReplayTrack; span: number }) {
  const end = toX(track.duration_s, span);
  return (
    <svg
      className="timeline-shape"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {rewardTicks(track, span).map(({ x, y, positive }) => (
        <line key={x} data-positive={positive} x1={x} x2={x} y1={HEIGHT / 2} y2={y} />
      ))}
      <polyline points={valueCurve(track, span)} />
      {end < WIDTH && <line className="timeline-end" x1={end} x2={end} y1={0} y2={HEIGHT} />}
    </svg>
  );
});
