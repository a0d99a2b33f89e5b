import { useCurve } from "../api/queries";
import { LearningCurve } from "./LazyCurves";

/** Learning curve of the current run. */
export function CurveCard() {
  const { data: points } = useCurve();
  return (
    <section className="card" aria-labelledby="curve">
      <h2 id="curve">Learning curve</h2>
      {points && points.length > 0 ? (
        <LearningCurve points={points} />
      ) : (
        <p className="empty">
          {points ? "Starts with the first finished episode." : "Loading the episodes…"}
        </p>
      )}
    </section>
  );
}
