import { useTrends } from "../api/queries";
import { formatNumber, MISSING } from "./format";
import { polylinePoints } from "./polyline";

const WIDTH = 96;
const HEIGHT = 24;

/** Trend of one worker's returns. */
export function Sparkline({ worker }: { worker: number }) {
  const { data: trends } = useTrends();
  const returns = trends?.[worker] ?? [];
  if (returns.length < 2) return <>{MISSING}</>;
  const xs = returns.map((_, i) => (WIDTH * i) / (returns.length - 1));
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Returns from ${formatNumber(returns.at(0))} to ${formatNumber(returns.at(-1))}`}
    >
      <polyline points={polylinePoints(xs, returns, HEIGHT)} />
    </svg>
  );
}
