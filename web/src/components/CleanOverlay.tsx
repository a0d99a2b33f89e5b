import { useEffect } from "react";
import { useCurve } from "../api/queries";
import type { OverlayPart } from "../streams/overlay";
import { polylinePoints } from "./polyline";
import { runningMean } from "./smoothing";

const WIDTH = 320;
const HEIGHT = 72;
/** Window of the running mean, as a fraction of all episodes. */
const SMOOTHING = 0.05;

interface CleanOverlayProps {
  parts: readonly OverlayPart[];
  /** Let what is behind a browser source show through. */
  transparent: boolean;
}

/** What a clean view shows over the video beside the policy's thoughts. */
export function CleanOverlay({ parts, transparent }: CleanOverlayProps) {
  useEffect(() => {
    document.documentElement.dataset.transparent = String(transparent);
    return () => {
      delete document.documentElement.dataset.transparent;
    };
  }, [transparent]);
  return parts.includes("curve") ? <Curve /> : null;
}

function Curve() {
  const { data: points } = useCurve();
  if (!points || points.length < 2) return null;
  const last = points.at(-1)?.fleet_step || 1;
  const xs = points.map(({ fleet_step }) => (WIDTH * fleet_step) / last);
  const means = runningMean(
    points.map(({ mean_return }) => mean_return),
    points.map(({ episodes }) => episodes),
    SMOOTHING,
  );
  const line = polylinePoints(xs, means, HEIGHT);
  return (
    <svg
      className="clean-curve"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label="Learning curve"
    >
      <polyline points={line} />
    </svg>
  );
}
