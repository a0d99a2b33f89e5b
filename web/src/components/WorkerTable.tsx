import type { ReactNode } from "react";
import { Link } from "react-router";
import type { WorkerStatus } from "../api/schema";
import { toSentence } from "../streams/stream-status";
import { streamPath } from "../streams/urls";
import { type Column, DataTable } from "./DataTable";
import { Explained } from "./Explained";
import { formatCount, formatNumber, formatResolution, MISSING } from "./format";
import { Sparkline } from "./Sparkline";
import { StateTag } from "./StateTag";

const COLUMNS: Column<WorkerStatus>[] = [
  { name: "Worker", value: ({ instance_id }) => instance_id, cell: workerLink },
  { name: "State", value: ({ stream_state }) => stream_state, cell: state },
  { name: "FPS", numeric: true, value: fps, cell: (worker) => formatNumber(fps(worker)) },
  {
    name: "Resolution",
    numeric: true,
    value: (worker) => (worker.stream_backend ? worker.spectator_width : null),
    cell: resolution,
  },
  {
    name: "Backend",
    value: ({ stream_backend }) => stream_backend || null,
    cell: ({ stream_backend }) => stream_backend || MISSING,
  },
  {
    name: "Steps/s",
    numeric: true,
    value: ({ steps_per_s }) => steps_per_s,
    cell: ({ steps_per_s }) => formatNumber(steps_per_s),
  },
  {
    name: "Episode",
    numeric: true,
    value: ({ episode }) => episode,
    cell: ({ episode }) => formatCount(episode),
  },
  {
    name: "Last return",
    numeric: true,
    value: ({ episode_return }) => episode_return,
    cell: ({ episode_return }) => formatNumber(episode_return),
  },
  { name: "Trend", cell: ({ worker_index }) => <Sparkline worker={worker_index} /> },
  {
    name: "Policy",
    numeric: true,
    value: ({ policy_version }) => policy_version,
    cell: ({ policy_version }) => formatCount(policy_version),
  },
  {
    name: "Viewers",
    numeric: true,
    value: ({ stream_active_clients }) => stream_active_clients,
    cell: ({ stream_active_clients }) => formatCount(stream_active_clients),
  },
];

/** Name of a worker, which leads to its stream. */
export function workerLink({ instance_id }: WorkerStatus): ReactNode {
  return <Link to={streamPath(instance_id)}>{instance_id}</Link>;
}

/** Frames that are shown per second; null while none are encoded. */
export function fps({ stream_state, frames_fps }: WorkerStatus): number | null {
  return stream_state === "live" ? frames_fps : null;
}

function state({ stream_state, stream_error }: WorkerStatus): ReactNode {
  return (
    <Explained explanation={stream_error ? toSentence(stream_error) : null}>
      <StateTag state={stream_state} />
    </Explained>
  );
}

function resolution(worker: WorkerStatus): ReactNode {
  if (!worker.stream_backend) return MISSING;
  const streamed = formatResolution(worker.spectator_width, worker.spectator_height);
  if (!worker.stream_quality) return streamed;
  return (
    <Explained explanation={worker.stream_quality}>
      {streamed} <small>reduced</small>
    </Explained>
  );
}

interface WorkerTableProps {
  workers: WorkerStatus[];
  caption?: string;
}

/** Table of the fleet's workers, or of those of one machine. */
export function WorkerTable({ workers, caption = "Workers" }: WorkerTableProps) {
  return (
    <DataTable
      caption={caption}
      columns={COLUMNS}
      rows={workers}
      rowKey={({ instance_id }) => instance_id}
      text={({ instance_id, stream_state, stream_backend }) =>
        `${instance_id} ${stream_state} ${stream_backend}`
      }
      whole
    />
  );
}
