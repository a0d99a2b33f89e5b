import type { ReactNode } from "react";
import type { WorkerStatus } from "../api/schema";
import { formatCount, formatNumber, formatResolution, MISSING } from "./format";
import { Sparkline } from "./Sparkline";
import { StateTag } from "./StateTag";
import { type Column, StatusTable } from "./StatusTable";

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

/** Table of the fleet's workers, or of those of one machine. */
export function WorkerTable({
  workers,
  caption = "Workers",
}: {
  workers: WorkerStatus[];
  caption?: string;
}) {
  if (workers.length === 0) {
    return (
      <p className="empty">
        No worker has reported yet. Workers report within a few seconds of starting; if they
        don&apos;t, see <code>logs/omega-0.log</code> and so on.
      </p>
    );
  }
  return <StatusTable caption={caption} name="Worker" columns={COLUMNS} rows={workers} />;
}
