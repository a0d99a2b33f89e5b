import type { ReactNode } from "react";
import { Link } from "react-router";
import type { WorkerStatus } from "../api/schema";
import { streamPath } from "../streams/urls";
import { formatCount, formatNumber, formatResolution, MISSING } from "./format";
import { Sparkline } from "./Sparkline";
import { StateTag } from "./StateTag";

interface Column {
  name: string;
  numeric?: boolean;
  cell: (worker: WorkerStatus) => ReactNode;
}

const COLUMNS: Column[] = [
  { name: "State", cell: (worker) => <StateTag state={worker.stream_state} /> },
  {
    name: "FPS",
    numeric: true,
    cell: ({ stream_state, frames_fps }) =>
      formatNumber(stream_state === "live" ? frames_fps : null),
  },
  { name: "Resolution", numeric: true, cell: resolution },
  { name: "Backend", cell: (worker) => worker.stream_backend || MISSING },
  { name: "Steps/s", numeric: true, cell: (worker) => formatNumber(worker.steps_per_s) },
  { name: "Episode", numeric: true, cell: (worker) => formatCount(worker.episode) },
  { name: "Return", numeric: true, cell: (worker) => formatNumber(worker.episode_return) },
  { name: "Trend", cell: (worker) => <Sparkline worker={worker.worker_index} /> },
  { name: "Policy", numeric: true, cell: (worker) => formatCount(worker.policy_version) },
  { name: "Viewers", numeric: true, cell: (worker) => formatCount(worker.stream_active_clients) },
];

function resolution(worker: WorkerStatus): ReactNode {
  if (!worker.stream_backend) return MISSING;
  const streamed = formatResolution(worker.spectator_width, worker.spectator_height);
  if (!worker.stream_quality) return streamed;
  return (
    <span title={worker.stream_quality}>
      {streamed} <small>reduced</small>
    </span>
  );
}

/**
 * Table of workers, each linked to its stream.
 *
 * On a phone its rows are laid out as cards. Browsers drop the table semantics of elements that are
 * not displayed as a table, so explicit roles restore them.
 */
export function WorkerTable({ workers }: { workers: WorkerStatus[] }) {
  if (workers.length === 0) {
    return (
      <p className="empty">
        No worker has reported yet. Workers report within a few seconds of starting; if they
        don&apos;t, see <code>logs/omega-0.log</code> and so on.
      </p>
    );
  }
  return (
    <table className="worker-table" role="table">
      <caption className="visually-hidden">Workers</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            Worker
          </th>
          {COLUMNS.map(({ name, numeric }) => (
            <th key={name} role="columnheader" scope="col" data-numeric={numeric}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {workers.map((worker) => (
          <tr key={worker.instance_id} role="row" data-state={worker.stream_state}>
            <th role="rowheader" scope="row">
              <Link to={streamPath(worker.instance_id)}>{worker.instance_id}</Link>
            </th>
            {COLUMNS.map(({ name, numeric, cell }) => (
              <td key={name} role="cell" data-name={name} data-numeric={numeric}>
                {cell(worker)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
