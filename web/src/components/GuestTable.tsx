import { toSentence } from "../streams/stream-status";
import type { Guest } from "../streams/workers";
import { type Column, DataTable } from "./DataTable";
import { Explained } from "./Explained";
import { formatCount, formatNumber } from "./format";
import { drawingCost, drawnBy } from "./Guest";
import { StateTag } from "./StateTag";
import { fps, workerLink } from "./WorkerTable";

const COLUMNS: Column<Guest>[] = [
  { name: "Environment", value: ({ instance_id }) => instance_id, cell: workerLink },
  {
    name: "State",
    value: ({ stream_state }) => stream_state,
    cell: ({ stream_state }) => <StateTag state={stream_state} />,
  },
  { name: "FPS", numeric: true, value: fps, cell: (guest) => formatNumber(fps(guest)) },
  {
    name: "Return so far",
    numeric: true,
    value: ({ guest }) => guest.episode_return,
    cell: ({ guest }) => formatNumber(guest.episode_return),
  },
  {
    name: "Step",
    numeric: true,
    value: ({ guest }) => guest.episode_step,
    cell: ({ guest }) => formatCount(guest.episode_step),
  },
  {
    name: "Last return",
    numeric: true,
    value: ({ episode_return }) => episode_return,
    cell: ({ episode_return }) => formatNumber(episode_return),
  },
  {
    name: "Trainer's steps/s",
    numeric: true,
    value: ({ guest }) => guest.trainer_steps_per_s,
    cell: ({ guest }) => formatNumber(guest.trainer_steps_per_s),
  },
  { name: "Drawn by", value: drawnBy, cell: drawn },
  {
    name: "Viewers",
    numeric: true,
    value: ({ stream_active_clients }) => stream_active_clients,
    cell: ({ stream_active_clients }) => formatCount(stream_active_clients),
  },
];

/** Table of the environments of other trainers. */
export function GuestTable({ guests }: { guests: Guest[] }) {
  return (
    <DataTable
      caption="Broadcasts"
      columns={COLUMNS}
      rows={guests}
      rowKey={({ instance_id }) => instance_id}
      text={({ instance_id, stream_state }) => `${instance_id} ${stream_state}`}
      whole
    />
  );
}

function drawn(worker: Guest) {
  const { note } = worker.guest;
  return (
    <Explained explanation={note === null ? null : toSentence(note)}>
      {drawnBy(worker)} {worker.guest.drawing_cost !== null && <small>{drawingCost(worker)}</small>}
    </Explained>
  );
}
