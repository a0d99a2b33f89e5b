import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { Refused } from "../api/client";
import { useRunCurves, useRuns } from "../api/queries";
import type { RunSummary } from "../api/schema";
import { clock } from "../components/format";
import { RunCurves } from "../components/LearningCurve";
import { Notice } from "../components/Notice";
import { RunDetails } from "../components/RunDetails";
import { RunTable } from "../components/RunTable";

/** More lines than this can't be told apart. */
const MOST = 5;
/** Shown beside each other before anybody has chosen. */
const AT_FIRST = 2;

/** `/runs`: what was learned before, beside what is learned now. */
export function RunsPage() {
  const { data: runs, error, dataUpdatedAt } = useRuns();
  return (
    <>
      <title>Runs · MetaBonk</title>
      <h1>Runs</h1>
      {error && (
        <Notice title="The orchestrator does not answer" tone="warning">
          <p>
            {error instanceof Refused
              ? error.message
              : "Nothing listens where this page came from."}{" "}
            {runs && `Everything below is as it was at ${clock(dataUpdatedAt)}. `}
            This page keeps asking and goes on by itself.
          </p>
        </Notice>
      )}
      {!runs && !error && (
        <Notice title="Asking for the runs">
          <p>They are shown as soon as the orchestrator answers.</p>
        </Notice>
      )}
      {runs?.length === 0 && (
        <Notice title="There is no run yet">
          <p>
            <code>./start --mode train --workers 2</code> begins one; its curve appears here with
            the first finished episodes.
          </p>
        </Notice>
      )}
      {runs && runs.length > 0 && <Runs runs={runs} />}
    </>
  );
}

function Runs({ runs }: { runs: RunSummary[] }) {
  const [query, setQuery] = useSearchParams();
  const asked = query.get("runs");
  const known = runs.map(({ run }) => run);
  const chosen =
    asked === null
      ? runs
          .filter(({ episodes }) => episodes > 0)
          .slice(0, AT_FIRST)
          .map(({ run }) => run)
      : asked.split(",").filter((run) => known.includes(run));

  const choose = (run: string, wanted: boolean) => {
    const rest = chosen.filter((other) => other !== run);
    const next = wanted ? [...rest, run].slice(-MOST) : rest;
    setQuery({ runs: next.join() }, { replace: true });
  };

  return (
    <>
      <Comparison chosen={chosen} />
      <section className="card" aria-labelledby="runs">
        <h2 id="runs">All runs</h2>
        <p className="detail">Choose up to {MOST} to see their curves over each other.</p>
        <RunTable runs={runs} chosen={chosen} onChoose={choose} />
      </section>
      {chosen.map((run) => (
        <RunDetails key={run} run={run} />
      ))}
    </>
  );
}

function Comparison({ chosen }: { chosen: readonly string[] }) {
  const answers = useRunCurves(chosen);
  const curves = useMemo(
    () =>
      chosen
        .map((run, i) => ({ run, points: answers[i] ?? [] }))
        .filter(({ points }) => points.length > 0),
    [chosen, answers],
  );
  return (
    <section className="card" aria-labelledby="curves">
      <h2 id="curves">Learning curves</h2>
      {curves.length > 0 ? (
        <RunCurves curves={curves} />
      ) : (
        <p className="empty">
          {chosen.length === 0
            ? "No run is chosen."
            : "The chosen runs have no finished episode yet."}
        </p>
      )}
    </section>
  );
}
