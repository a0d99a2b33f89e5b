import { useBestEpisodes, useCheckpoints } from "../api/queries";
import type { Checkpoint } from "../api/schema";
import { EpisodeTable } from "./EpisodeTable";
import { bytes, count, moment, rate, roughly } from "./format";

const EPISODES = 10;

/** What a run left behind: checkpoints to go on from, and the episodes worth seeing. */
export function RunDetails({ run }: { run: string }) {
  const { data: checkpoints, error: noCheckpoints } = useCheckpoints(run);
  const { data: episodes, error: noEpisodes } = useBestEpisodes(run, EPISODES);
  return (
    <div className="side-by-side">
      <section className="card" aria-labelledby={`checkpoints-${run}`}>
        <h2 id={`checkpoints-${run}`}>Checkpoints of {run}</h2>
        {checkpoints && checkpoints.length > 0 ? (
          <>
            <CheckpointTable checkpoints={checkpoints} />
            <p className="detail">
              Go on with <code>./start --mode train --resume {run}</code>
            </p>
          </>
        ) : (
          <p className="empty">
            {wordsFor(checkpoints, noCheckpoints, "None yet: the first is saved within minutes.")}
          </p>
        )}
      </section>
      <section className="card" aria-labelledby={`best-${run}`}>
        <h2 id={`best-${run}`}>Best episodes</h2>
        {episodes && episodes.length > 0 ? (
          <EpisodeTable caption={`Best episodes of ${run}`} episodes={episodes} wide />
        ) : (
          <p className="empty">{wordsFor(episodes, noEpisodes, "No episode has ended yet.")}</p>
        )}
      </section>
    </div>
  );
}

function CheckpointTable({ checkpoints }: { checkpoints: readonly Checkpoint[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
    <section className="scroll" aria-label="Checkpoints" tabIndex={0}>
      <table className="table">
        <caption className="unseen">Checkpoints, newest first</caption>
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
              <td>{count(checkpoint.policy_version)}</td>
              <td>{roughly(checkpoint.steps)}</td>
              <td>{rate(checkpoint.mean_return)}</td>
              <td>{moment(checkpoint.saved_at * 1000)}</td>
              <td>{bytes(checkpoint.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function wordsFor(answer: unknown, error: Error | null, none: string): string {
  if (answer) return none;
  return error ? `They can't be read now: ${error.message}.` : "Asking for them.";
}
