import { Link } from "react-router";
import { useBestEpisodes, useCheckpoints } from "../api/queries";
import type { Checkpoint } from "../api/schema";
import { replayPath } from "../replays/urls";
import { type Column, DataTable } from "./DataTable";
import { EpisodeTable } from "./EpisodeTable";
import { formatBytes, formatCompact, formatCount, formatDateTime, formatNumber } from "./format";
import { RunHighlight } from "./RunHighlight";

const EPISODES = 10;

/** Checkpoints and best episodes of a run. */
export function RunDetails({ run }: { run: string }) {
  const { data: checkpoints, error: checkpointsError } = useCheckpoints(run);
  const { data: episodes, error: episodesError } = useBestEpisodes(run, EPISODES);
  return (
    <div className="side-by-side">
      <section className="card" aria-labelledby={`checkpoints-${run}`}>
        <h2 id={`checkpoints-${run}`}>Checkpoints of {run}</h2>
        {checkpoints && checkpoints.length > 0 ? (
          <>
            <CheckpointTable run={run} checkpoints={checkpoints} />
            <p className="detail">
              Resume with <code>./start --mode train --resume {run}</code>
            </p>
          </>
        ) : (
          <p className="empty">
            {emptyText(
              checkpoints,
              checkpointsError,
              "No checkpoints yet. The first is saved within minutes.",
            )}
          </p>
        )}
      </section>
      <section className="card" aria-labelledby={`best-${run}`}>
        <h2 id={`best-${run}`}>Best episodes of {run}</h2>
        {episodes && episodes.length > 0 ? (
          <>
            <EpisodeTable
              caption={`Episodes of ${run}, highest return first`}
              run={run}
              episodes={episodes}
              detailed
            />
            <WatchLinks run={run} />
            <RunHighlight run={run} />
          </>
        ) : (
          <p className="empty">{emptyText(episodes, episodesError, "No finished episodes yet.")}</p>
        )}
      </section>
    </div>
  );
}

const CHOICES = ["best", "worst", "last"] as const;

/** Links to replays; which episodes they are is found out when they are opened. */
function WatchLinks({ run }: { run: string }) {
  return (
    <p className="detail watch-links">
      Watch the
      {CHOICES.map((by) => (
        <Link key={by} to={replayPath({ run, episode: { by, worker: null } })}>
          {by}
        </Link>
      ))}
      episode
    </p>
  );
}

interface CheckpointTableProps {
  run: string;
  checkpoints: readonly Checkpoint[];
}

const CHECKPOINT_COLUMNS: Column<Checkpoint>[] = [
  {
    name: "Kind",
    value: ({ kind }) => kind,
    cell: ({ kind, name }) => <span title={name}>{kind}</span>,
  },
  {
    name: "Policy",
    numeric: true,
    value: ({ policy_version }) => policy_version,
    cell: ({ policy_version }) => formatCount(policy_version),
  },
  {
    name: "Steps",
    numeric: true,
    value: ({ steps }) => steps,
    cell: ({ steps }) => formatCompact(steps),
  },
  {
    name: "Mean return",
    numeric: true,
    value: ({ mean_return }) => mean_return,
    cell: ({ mean_return }) => formatNumber(mean_return),
  },
  {
    name: "Saved",
    numeric: true,
    value: ({ saved_at }) => saved_at,
    cell: ({ saved_at }) => formatDateTime(saved_at * 1000),
  },
  {
    name: "Size",
    numeric: true,
    value: ({ bytes }) => bytes,
    cell: ({ bytes }) => formatBytes(bytes),
  },
];

function CheckpointTable({ run, checkpoints }: CheckpointTableProps) {
  return (
    <DataTable
      caption={`Checkpoints of ${run}, newest first`}
      columns={CHECKPOINT_COLUMNS}
      rows={checkpoints}
      rowKey={({ name }) => name}
    />
  );
}

function emptyText(data: unknown, error: Error | null, none: string): string {
  if (data) return none;
  return error ? `Could not load: ${error.message}.` : "Loading…";
}
