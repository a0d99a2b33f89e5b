import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { useRunCurves, useRuns } from "../api/queries";
import type { RunSummary } from "../api/schema";
import { RunCurves } from "../components/LearningCurve";
import { ConnectionNotice, Notice } from "../components/Notice";
import { RunDetails } from "../components/RunDetails";
import { RunTable } from "../components/RunTable";

/** More lines than this are hard to tell apart. */
const MAX_SELECTED = 5;
const SELECTED_BY_DEFAULT = 2;

/** `/runs`: learning curves, checkpoints and best episodes of all runs. */
export function RunsPage() {
  const { data: runs, error, dataUpdatedAt } = useRuns();
  return (
    <>
      <title>Runs · MetaBonk</title>
      <h1>Runs</h1>
      {error && <ConnectionNotice error={error} dataUpdatedAt={runs ? dataUpdatedAt : null} />}
      {!runs && !error && (
        <Notice title="Loading runs">
          <p>The runs appear here as soon as the orchestrator answers.</p>
        </Notice>
      )}
      {runs?.length === 0 && (
        <Notice title="No runs yet">
          <p>
            Start one with <code>./start --mode train --workers 2</code>. Its curve appears here
            with the first finished episodes.
          </p>
        </Notice>
      )}
      {runs && runs.length > 0 && <Runs runs={runs} />}
    </>
  );
}

function Runs({ runs }: { runs: RunSummary[] }) {
  const [query, setQuery] = useSearchParams();
  const requested = query.get("runs");
  const known = runs.map(({ run }) => run);
  const selected =
    requested === null
      ? runs
          .filter(({ episodes }) => episodes > 0)
          .slice(0, SELECTED_BY_DEFAULT)
          .map(({ run }) => run)
      : requested.split(",").filter((run) => known.includes(run));

  const select = (run: string, add: boolean) => {
    const others = selected.filter((other) => other !== run);
    const next = add ? [...others, run].slice(-MAX_SELECTED) : others;
    setQuery({ runs: next.join() }, { replace: true });
  };

  return (
    <>
      <CurvesCard selected={selected} />
      <section className="card" aria-labelledby="runs">
        <h2 id="runs">All runs</h2>
        <p className="detail">Select up to {MAX_SELECTED} runs to compare their curves.</p>
        <RunTable runs={runs} selected={selected} onSelect={select} />
      </section>
      {selected.map((run) => (
        <RunDetails key={run} run={run} />
      ))}
    </>
  );
}

function CurvesCard({ selected }: { selected: readonly string[] }) {
  const results = useRunCurves(selected);
  const curves = useMemo(
    () =>
      selected
        .map((run, i) => ({ run, points: results[i] ?? [] }))
        .filter(({ points }) => points.length > 0),
    [selected, results],
  );
  return (
    <section className="card" aria-labelledby="curves">
      <h2 id="curves">Learning curves</h2>
      {curves.length > 0 ? (
        <RunCurves curves={curves} />
      ) : (
        <p className="empty">
          {selected.length === 0
            ? "No run selected."
            : "The selected runs have no finished episodes yet."}
        </p>
      )}
    </section>
  );
}
