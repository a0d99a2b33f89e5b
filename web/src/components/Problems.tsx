import type { Problem } from "../api/schema";
import { toSentence } from "../streams/stream-status";

/** Problems that need the operator's attention, with what to do; renders nothing without any. */
export function Problems({ problems }: { problems: Problem[] }) {
  if (problems.length === 0) return null;
  return (
    <section className="card problems" aria-labelledby="problems">
      <h2 id="problems">Problems</h2>
      <ul>
        {problems.map((problem) => (
          <li key={problem.message}>
            <strong>{toSentence(problem.message)}</strong> <span>{toSentence(problem.action)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
