import { Link } from "react-router";
import type { Episode } from "../api/schema";
import { replayPath } from "../replays/urls";
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
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
    <section className="scroll" aria-label={caption} tabIndex={0}>
      <table className="table">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {detailed && <th scope="col">Worker</th>}
            <th scope="col">Episode</th>
            <th scope="col">Return</th>
            <th scope="col">Steps</th>
            <th scope="col">Policy</th>
            <th scope="col">Ended</th>
          </tr>
        </thead>
        <tbody>
          {episodes.map((episode) => (
            <tr key={`${episode.worker_index} ${episode.episode} ${episode.ended_at}`}>
              {detailed && <td>omega-{episode.worker_index}</td>}
              <td>
                <EpisodeLink run={run} episode={episode} />
              </td>
              <td>
                <strong>{formatNumber(episode.total_reward)}</strong>
              </td>
              <td>{formatCount(episode.length)}</td>
              <td>{formatCount(episode.policy_version)}</td>
              <td>{(detailed ? formatDateTime : formatTime)(episode.ended_at * 1000)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
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
