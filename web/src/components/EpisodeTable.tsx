import { useMemo } from "react";
import { Link } from "react-router";
import type { Episode } from "../api/schema";
import { replayPath } from "../replays/urls";
import { type Column, DataTable } from "./DataTable";
import { formatCount, formatDateTime, formatNumber, formatTime } from "./format";

interface EpisodeTableProps {
  caption: string;
  /** The current one if it is left out. */
  run?: string;
  episodes: readonly Episode[];
  /** Add the worker and the date, for episodes of a whole run. */
  detailed?: boolean;
}

/** Table of episodes, each linked to its replay. */
export function EpisodeTable({ caption, run, episodes, detailed = false }: EpisodeTableProps) {
  const columns = useMemo(() => columnsOf(run, detailed), [run, detailed]);
  return (
    <DataTable
      caption={caption}
      columns={columns}
      rows={episodes}
      rowKey={({ worker_index, episode, ended_at }) => `${worker_index} ${episode} ${ended_at}`}
    />
  );
}

function columnsOf(run: string | undefined, detailed: boolean): Column<Episode>[] {
  const worker: Column<Episode> = {
    name: "Worker",
    value: ({ worker_index }) => worker_index,
    cell: ({ worker_index }) => `omega-${worker_index}`,
  };
  return [
    {
      name: "Episode",
      value: ({ episode }) => episode,
      cell: (episode) => <EpisodeLink run={run} episode={episode} />,
    },
    ...(detailed ? [worker] : []),
    {
      name: "Return",
      numeric: true,
      value: ({ total_reward }) => total_reward,
      cell: ({ total_reward }) => <strong>{formatNumber(total_reward)}</strong>,
    },
    {
      name: "Steps",
      numeric: true,
      value: ({ length }) => length,
      cell: ({ length }) => formatCount(length),
    },
    {
      name: "Policy",
      numeric: true,
      value: ({ policy_version }) => policy_version,
      cell: ({ policy_version }) => formatCount(policy_version),
    },
    {
      name: "Ended",
      numeric: true,
      value: ({ ended_at }) => ended_at,
      cell: ({ ended_at }) => (detailed ? formatDateTime : formatTime)(ended_at * 1000),
    },
  ];
}

interface EpisodeLinkProps {
  run: string | undefined;
  episode: Episode;
}

function EpisodeLink({
  run,
  episode: { id, episode, worker_index, replayable },
}: EpisodeLinkProps) {
  const number = formatCount(episode);
  if (!replayable) return <span title="The log of this episode is not kept">{number}</span>;
  return (
    <Link
      className="watch"
      to={replayPath({ run: run ?? null, episode: { by: "id", id } })}
      aria-label={`Watch episode ${number} of omega-${worker_index}`}
    >
      {number}
    </Link>
  );
}
