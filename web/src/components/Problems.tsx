import type { Problem } from "../api/schema";

/** What a person should know and do; nothing at all when there is nothing. */
export function Problems({ problems }: { problems: Problem[] }) {
  if (problems.length === 0) return null;
  return (
    <section className="card problems" aria-labelledby="problems">
      <h2 id="problems">Problems</h2>
      <ul>
        {problems.map((problem) => (
          <li key={problem.what}>
            <strong>{problem.what}</strong> <span>{problem.do}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
