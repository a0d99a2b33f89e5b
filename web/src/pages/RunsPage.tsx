import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";
import { useLearning, useRunCurves, useRuns } from "../api/queries";
import type { RunSummary } from "../api/schema";
import { LearningCharts } from "../components/LearningCharts";
import { ConnectionNotice, Notice } from "../components/Notice";
import { RunDetails } from "../components/RunDetails";
import { RunNotes } from "../components/RunNotes";
import { RunSettings } from "../components/RunSettings";
import { RunTable } from "../components/RunTable";
import { useQueryFlag } from "../components/use-query-flag";
import type { RunRecord } from "../learning/charts";

/** More lines than this are hard to tell apart. */
const MAX_SELECTED = 5;
const SELECTED_BY_DEFAULT = 2;
/** With more runs their details are folded up. */
const MAX_UNFOLDED = 2;

/** `/runs`: what runs have learned, how they were set, their checkpoints and best episodes. */
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
  const [showsArchived, toggleArchived] = useQueryFlag("archived", false);
  const requested = query.get("runs");
  const listed = runs.filter(({ notes }) => showsArchived || !notes.archived);
  const known = new Map(runs.map((run) => [run.run, run]));
  const names = requested === null ? newestOfOneGame(listed) : requested.split(",");
  const selected = names.flatMap((name) => known.get(name) ?? []).slice(0, MAX_SELECTED);
  const joined = selected.map(({ run }) => run).join();
  const selectedNames = useMemo(() => (joined ? joined.split(",") : []), [joined]);

  const select = useCallback(
    (run: string, add: boolean) => {
      const others = selectedNames.filter((other) => other !== run);
      setQuery(
        (params) => {
          params.set("runs", (add ? [...others, run] : others).join());
          return params;
        },
        { replace: true },
      );
    },
    [selectedNames, setQuery],
  );

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
        {runs.some(({ notes }) => notes.archived) && (
          <label className="choice">
            <input type="checkbox" checked={showsArchived} onChange={toggleArchived} />
            Show archived runs
          </label>
        )}
        <RunTable
          runs={listed}
          selected={selectedNames}
          isFull={selected.length === MAX_SELECTED}
          onSelect={select}
        />
      </section>
      {selected.length > 0 && <RunSettings runs={selectedNames} />}
      {selected.map((summary) =>
        selected.length <= MAX_UNFOLDED ? (
          <Details key={summary.run} summary={summary} />
        ) : (
          <details key={summary.run} className="run-fold">
            <summary>{summary.run}</summary>
            <Details summary={summary} />
          </details>
        ),
      )}
    </>
  );
}

function Details({ summary }: { summary: RunSummary }) {
  return (
    <>
      <RunDetails run={summary.run} />
      <RunNotes run={summary} />
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

/** Curves of the selected runs, with plots for each game: their returns don't compare. */
function CurvesCard({ selected }: { selected: readonly RunSummary[] }) {
  const names = selected.map(({ run }) => run);
  const returns = useRunCurves(names);
  const learning = useLearning(names);
  const games = useMemo(() => {
    const byGame = new Map<string, RunRecord[]>();
    selected.forEach(({ run, game }, number) => {
      const record = {
        run,
        number,
        returns: returns[number] ?? [],
        learning: learning[number] ?? null,
      };
      byGame.set(game, [...(byGame.get(game) ?? []), record]);
    });
    return [...byGame].map(([game, records]) => ({ game, records }));
  }, [selected, returns, learning]);
  return (
    <section className="card" aria-labelledby="curves">
      <h2 id="curves">Learning curves</h2>
      {selected.length === 0 ? (
        <p className="empty">No run selected.</p>
      ) : (
        <LearningCharts games={games} />
      )}
    </section>
  );
}
