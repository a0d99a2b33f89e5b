import type { ReactNode } from "react";
import { Link } from "react-router";
import type { WorkerStatus } from "../api/schema";
import { streamPage } from "../streams/urls";
import { count, MISSING, rate, size } from "./format";
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
    cell: ({ stream_state, frames_fps }) => rate(stream_state === "live" ? frames_fps : null),
  },
  { name: "Picture", numeric: true, cell: picture },
  { name: "Backend", cell: (worker) => worker.stream_backend || MISSING },
  { name: "Steps/s", numeric: true, cell: (worker) => rate(worker.steps_per_s) },
  { name: "Episode", numeric: true, cell: (worker) => count(worker.episode) },
  { name: "Return", numeric: true, cell: (worker) => rate(worker.episode_return) },
  { name: "Trend", cell: (worker) => <Sparkline worker={worker.worker_index} /> },
  { name: "Policy", numeric: true, cell: (worker) => count(worker.policy_version) },
  { name: "Viewers", numeric: true, cell: (worker) => count(worker.stream_active_clients) },
];

function picture(worker: WorkerStatus): ReactNode {
  if (!worker.stream_backend) return MISSING;
  const shown = size(worker.spectator_width, worker.spectator_height);
  if (!worker.stream_quality) return shown;
  return (
    <span title={worker.stream_quality}>
      {shown} <small>reduced</small>
    </span>
  );
}

// The roles repeat what the elements mean, because on a phone they are laid out as cards, and a
// browser forgets a table that isn't displayed as one.
/** A row a worker, with a link to its stream. */
export function WorkerTable({ workers }: { workers: WorkerStatus[] }) {
  if (workers.length === 0) {
    return (
      <p className="empty">
        No worker has reported yet. The first ones do within a few seconds of a start; their logs
        are <code>logs/omega-0.log</code> and so on.
      </p>
    );
  }
  return (
    <table className="worker-table" role="table">
      <caption className="unseen">Workers</caption>
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
              <Link to={streamPage(worker.instance_id)}>{worker.instance_id}</Link>
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
