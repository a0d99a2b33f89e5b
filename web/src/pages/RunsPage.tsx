import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { useRunCurves, useRuns } from "../api/queries";
import type { RunSummary } from "../api/schema";
import { type RunCurve, RunCurves } from "../components/LearningCurve";
import { ConnectionNotice, Notice } from "../components/Notice";
import { RunDetails } from "../components/RunDetails";
import { RunTable } from "../components/RunTable";

/** More lines than this are hard to tell apart. */
const MAX_SELECTED = 5;
const SELECTED_BY_DEFAULT = 2;
/** With more runs their details are folded up. */
const MAX_UNFOLDED = 2;

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
  const known = new Map(runs.map((run) => [run.run, run]));
  const names = requested === null ? newestOfOneGame(runs) : requested.split(",");
  const selected = names.flatMap((name) => known.get(name) ?? []).slice(0, MAX_SELECTED);
  const selectedNames = selected.map(({ run }) => run);

  const select = (run: string, add: boolean) => {
    const others = selectedNames.filter((other) => other !== run);
    setQuery({ runs: (add ? [...others, run] : others).join() }, { replace: true });
  };

  return (
    <>
      <CurvesCard selected={selected} />
      <section className="card" aria-labelledby="runs">
        <h2 id="runs">All runs</h2>
        <p className="detail">
          {selected.length < MAX_SELECTED
            ? `Select up to ${MAX_SELECTED} runs to compare their curves.`
            : `${MAX_SELECTED} runs are selected; deselect one to compare another.`}
        </p>
        <RunTable
          runs={runs}
          selected={selectedNames}
          isFull={selected.length === MAX_SELECTED}
          onSelect={select}
        />
      </section>
      {selectedNames.map((run) =>
        selected.length <= MAX_UNFOLDED ? (
          <RunDetails key={run} run={run} />
        ) : (
          <details key={run} className="run-fold">
            <summary>{run}</summary>
            <RunDetails run={run} />
          </details>
        ),
      )}
    </>
  );
}

/** Return the newest runs with episodes that play the game of the newest of them. */
function newestOfOneGame(runs: readonly RunSummary[]): string[] {
  const played = runs.filter(({ episodes }) => episodes > 0);
  return played
    .filter(({ game }) => game === played[0]?.game)
    .slice(0, SELECTED_BY_DEFAULT)
    .map(({ run }) => run);
}

/** Learning curves of the selected runs, a plot for each game: their returns don't compare. */
function CurvesCard({ selected }: { selected: readonly RunSummary[] }) {
  const results = useRunCurves(selected.map(({ run }) => run));
  const plots = useMemo(() => {
    const byGame = new Map<string, RunCurve[]>();
    selected.forEach(({ run, game }, number) => {
      const points = results[number] ?? [];
      if (points.length === 0) return;
      byGame.set(game, [...(byGame.get(game) ?? []), { run, points, number }]);
    });
    return [...byGame];
  }, [selected, results]);
  return (
    <section className="card" aria-labelledby="curves">
      <h2 id="curves">Learning curves</h2>
      {plots.length > 0 ? (
        plots.map(([game, curves]) => (
          <div key={game}>
            {plots.length > 1 && <h3>{game}</h3>}
            <RunCurves curves={curves} />
          </div>
        ))
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
