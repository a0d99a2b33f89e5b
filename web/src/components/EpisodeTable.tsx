import type { Episode } from "../api/schema";
import { formatCount, formatDateTime, formatNumber, formatTime } from "./format";

interface EpisodeTableProps {
  caption: string;
  episodes: readonly Episode[];
  /** Add the worker and the date, for episodes of a whole run. */
  detailed?: boolean;
}

export function EpisodeTable({ caption, episodes, detailed = false }: EpisodeTableProps) {
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
              <td>{formatCount(episode.episode)}</td>
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
