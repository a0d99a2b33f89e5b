import type { RunSummary } from "../api/schema";
import { count, MISSING, moment, rate, roughly } from "./format";

interface RunTableProps {
  runs: readonly RunSummary[];
  /** Whose curves are drawn, in this order. */
  chosen: readonly string[];
  onChoose: (run: string, chosen: boolean) => void;
}

/** A row a run, with a box that puts its curve beside the others. */
export function RunTable({ runs, chosen, onChoose }: RunTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
    <section className="scroll" aria-label="Runs" tabIndex={0}>
      <table className="table">
        <caption className="unseen">Runs, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Game</th>
            <th scope="col">Started</th>
            <th scope="col">Steps</th>
            <th scope="col">Episodes</th>
            <th scope="col">Recent return</th>
            <th scope="col">Best return</th>
          </tr>
        </thead>
        <tbody>
          {runs.map(({ run, ...summary }) => {
            const place = chosen.indexOf(run);
            return (
              <tr key={run} data-chosen={place >= 0}>
                <th scope="row">
                  <label className="choice" data-series={place >= 0 ? (place % 5) + 1 : undefined}>
                    <input
                      type="checkbox"
                      checked={place >= 0}
                      onChange={({ target }) => onChoose(run, target.checked)}
                    />
                    {run}
                    {summary.current && <span className="badge">now</span>}
                  </label>
                </th>
                <td>{summary.game || MISSING}</td>
                <td>{moment(summary.started_at * 1000)}</td>
                <td>{roughly(summary.steps)}</td>
                <td>{count(summary.episodes)}</td>
                <td>
                  <strong>{rate(summary.recent_return)}</strong>
                </td>
                <td>{rate(summary.best_return)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
