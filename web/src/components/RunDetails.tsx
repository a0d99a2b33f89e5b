import { Link } from "react-router";
import { useBestEpisodes, useCheckpoints } from "../api/queries";
import type { Checkpoint } from "../api/schema";
import { replayPath } from "../replays/urls";
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

function CheckpointTable({ run, checkpoints }: CheckpointTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
    <section className="scroll" aria-label={`Checkpoint files of ${run}`} tabIndex={0}>
      <table className="table">
        <caption className="visually-hidden">Checkpoints of {run}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">Policy</th>
            <th scope="col">Steps</th>
            <th scope="col">Mean return</th>
            <th scope="col">Saved</th>
            <th scope="col">Size</th>
          </tr>
        </thead>
        <tbody>
          {checkpoints.map((checkpoint) => (
            <tr key={checkpoint.name}>
              <th scope="row" title={checkpoint.name}>
                {checkpoint.kind}
              </th>
              <td>{formatCount(checkpoint.policy_version)}</td>
              <td>{formatCompact(checkpoint.steps)}</td>
              <td>{formatNumber(checkpoint.mean_return)}</td>
              <td>{formatDateTime(checkpoint.saved_at * 1000)}</td>
              <td>{formatBytes(checkpoint.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function emptyText(data: unknown, error: Error | null, none: string): string {
  if (data) return none;
  return error ? `Could not load: ${error.message}.` : "Loading…";
}
