import type { RunSummary } from "../api/schema";
import { formatCompact, formatCount, formatDateTime, formatNumber, MISSING } from "./format";

interface RunTableProps {
  runs: readonly RunSummary[];
  /** Runs whose curves are plotted, in the order of their colors. */
  selected: readonly string[];
  /** No more can be selected. */
  isFull: boolean;
  onSelect: (run: string, selected: boolean) => void;
}

/** Table of runs with a checkbox that adds a run's curve to the plot. */
export function RunTable({ runs, selected, isFull, onSelect }: RunTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
    <section className="scroll" aria-label="Runs" tabIndex={0}>
      <table className="table">
        <caption className="visually-hidden">Runs, newest first</caption>
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
            const index = selected.indexOf(run);
            return (
              <tr key={run}>
                <th scope="row">
                  <label
                    className="run-select"
                    data-series={index >= 0 ? (index % 5) + 1 : undefined}
                  >
                    <input
                      type="checkbox"
                      checked={index >= 0}
                      disabled={isFull && index < 0}
                      onChange={({ target }) => onSelect(run, target.checked)}
                    />
                    {run}
                    {summary.current && <span className="badge">current</span>}
                  </label>
                </th>
                <td>{summary.game || MISSING}</td>
                <td>{formatDateTime(summary.started_at * 1000)}</td>
                <td>{formatCompact(summary.steps)}</td>
                <td>{formatCount(summary.episodes)}</td>
                <td>
                  <strong>{formatNumber(summary.recent_return)}</strong>
                </td>
                <td>{formatNumber(summary.best_return)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
