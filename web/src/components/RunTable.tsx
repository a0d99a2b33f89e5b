import { useMemo } from "react";
import type { RunSummary } from "../api/schema";
import { type Column, DataTable } from "./DataTable";
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
  const columns = useMemo<Column<RunSummary>[]>(
    () => [
      {
        name: "Run",
        value: ({ run }) => run,
        cell: ({ run, current, notes }) => {
          const index = selected.indexOf(run);
          return (
            <label className="run-select" data-series={index >= 0 ? (index % 5) + 1 : undefined}>
              <input
                type="checkbox"
                checked={index >= 0}
                disabled={isFull && index < 0}
                onChange={({ target }) => onSelect(run, target.checked)}
              />
              {run}
              {notes.title && <span className="run-title">{notes.title}</span>}
              {current && <span className="badge">current</span>}
              {notes.archived && <span className="badge">archived</span>}
              {notes.tags.map((tag) => (
                <span key={tag} className="badge">
                  {tag}
                </span>
              ))}
            </label>
          );
        },
      },
      ...COLUMNS,
    ],
    [selected, isFull, onSelect],
  );
  return (
    <DataTable
      caption="Runs, newest first"
      columns={columns}
      rows={runs}
      rowKey={({ run }) => run}
      text={({ run, game, notes: { title, tags, note } }) =>
        [run, game, title, note, ...tags].join(" ")
      }
    />
  );
}

const COLUMNS: Column<RunSummary>[] = [
  { name: "Game", value: ({ game }) => game || null, cell: ({ game }) => game || MISSING },
  {
    name: "Started",
    numeric: true,
    value: ({ started_at }) => started_at,
    cell: ({ started_at }) => formatDateTime(started_at * 1000),
  },
  {
    name: "Steps",
    numeric: true,
    value: ({ steps }) => steps,
    cell: ({ steps }) => formatCompact(steps),
  },
  {
    name: "Episodes",
    numeric: true,
    value: ({ episodes }) => episodes,
    cell: ({ episodes }) => formatCount(episodes),
  },
  {
    name: "Recent return",
    numeric: true,
    value: ({ recent_return }) => recent_return,
    cell: ({ recent_return }) => <strong>{formatNumber(recent_return)}</strong>,
  },
  {
    name: "Best return",
    numeric: true,
    value: ({ best_return }) => best_return,
    cell: ({ best_return }) => formatNumber(best_return),
  },
];
