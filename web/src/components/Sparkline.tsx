import { useSparkline } from "../api/queries";
import { MISSING, rate } from "./format";
import { HEIGHT, sparkPoints, WIDTH } from "./polyline";

/** How the returns of one worker went so far. */
export function Sparkline({ worker }: { worker: number }) {
  const { data: points } = useSparkline(worker);
  if (!points || points.length < 2) return <>{MISSING}</>;
  const returns = points.map((point) => point.mean_return);
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Returns from ${rate(returns.at(0))} to ${rate(returns.at(-1))}`}
    >
      <polyline points={sparkPoints(returns)} />
    </svg>
  );
}
