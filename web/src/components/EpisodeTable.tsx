import type { Episode } from "../api/schema";
import { clock, count, moment, rate } from "./format";

interface EpisodeTableProps {
  caption: string;
  episodes: readonly Episode[];
  /** For episodes of many workers and of other days. */
  wide?: boolean;
}

/** A row an episode. */
export function EpisodeTable({ caption, episodes, wide = false }: EpisodeTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
    <section className="scroll" aria-label={caption} tabIndex={0}>
      <table className="table">
        <caption className="unseen">{caption}</caption>
        <thead>
          <tr>
            {wide && <th scope="col">Worker</th>}
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
              {wide && <td>omega-{episode.worker_index}</td>}
              <td>{count(episode.episode)}</td>
              <td>
                <strong>{rate(episode.total_reward)}</strong>
              </td>
              <td>{count(episode.length)}</td>
              <td>{count(episode.policy_version)}</td>
              <td>{(wide ? moment : clock)(episode.ended_at * 1000)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
