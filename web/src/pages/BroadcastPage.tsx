import { Link } from "react-router";
import type { Fleet, WorkerStatus } from "../api/schema";
import { FleetAnswer } from "../components/FleetAnswer";
import { rate } from "../components/figures";
import { Notice } from "../components/Notice";
import { Player } from "../player/Player";
import { streamPage } from "../streams/addresses";
import { byIndex } from "../streams/sessions";

/** `/neural/broadcast`: whoever is live, large; those who train without a picture, small. */
export function BroadcastPage() {
  return (
    <>
      <title>Broadcast · MetaBonk</title>
      <h1 className="unseen">Broadcast</h1>
      <FleetAnswer>{(fleet) => <Broadcast fleet={fleet} />}</FleetAnswer>
    </>
  );
}

function Broadcast({ fleet }: { fleet: Fleet }) {
  const workers = byIndex(fleet.workers);
  const featured = workers.find((worker) => worker.stream_state === "live") ?? workers[0];
  if (!featured) {
    return (
      <Notice title="Nobody is on stage yet">
        <p>The first worker appears here as soon as it has started.</p>
      </Notice>
    );
  }
  const rest = workers.filter((worker) => worker !== featured);
  return (
    <div className="broadcast">
      <Tile key={featured.instance_id} worker={featured} />
      {rest.length > 0 && (
        <div className="tiles">
          {rest.map((worker) => (
            <Tile key={worker.instance_id} worker={worker} />
          ))}
        </div>
      )}
    </div>
  );
}

function Tile({ worker }: { worker: WorkerStatus }) {
  return (
    <article className="tile">
      <Player worker={worker.instance_id} audience="broadcast" />
      <p>
        <Link to={streamPage(worker.instance_id)}>{worker.instance_id}</Link>
        <span>return {rate(worker.episode_return)}</span>
        <span>{rate(worker.steps_per_s)} steps/s</span>
      </p>
    </article>
  );
}
