import { Link } from "react-router";
import type { WorkerStatus } from "../api/schema";
import { replayPath } from "../replays/urls";

/** Link to the replay of a worker's last episode; renders nothing before the first has ended. */
export function WatchLast({ worker }: { worker: WorkerStatus }) {
  if (worker.episode === 0) return null;
  const path = replayPath({ episode: { by: "last", worker: worker.worker_index } });
  return (
    <Link className="watch-last" to={path}>
      Watch its last episode<span className="visually-hidden">: {worker.instance_id}</span>
    </Link>
  );
}
