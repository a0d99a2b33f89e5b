import type { ReactNode } from "react";
import { Link, useSearchParams } from "react-router";
import { Refused } from "../api/client";
import { useFleet, useWorkerStatus } from "../api/queries";
import type { WorkerStatus } from "../api/schema";
import { type Figure, Figures } from "../components/Figures";
import { FleetAnswer } from "../components/FleetAnswer";
import { bitrate, clock, count, duration, MISSING, rate, size } from "../components/figures";
import { Notice } from "../components/Notice";
import { WorkerTable } from "../components/WorkerTable";
import { Player } from "../player/Player";
import { streamPage } from "../streams/addresses";
import { byIndex } from "../streams/sessions";

/** `/stream?worker=omega-0`: one worker, its picture and its figures. */
export function StreamPage() {
  const [query] = useSearchParams();
  const worker = query.get("worker");
  return worker ? <OneStream key={worker} worker={worker} /> : <Choice title="Which worker?" />;
}

function OneStream({ worker }: { worker: string }) {
  const { data: status, error, dataUpdatedAt } = useWorkerStatus(worker);
  if (!status && error instanceof Refused && error.status === 404) {
    return (
      <Choice title={`There is no worker ${worker}`}>
        <p>{error.message}</p>
      </Choice>
    );
  }
  return (
    <>
      <title>{`${worker} · MetaBonk`}</title>
      <div className="page-title">
        <h1>{worker}</h1>
        <Siblings worker={worker} />
      </div>
      <Player worker={worker} />
      {error && (
        <Notice title={`${worker} does not answer`} tone="warning">
          <p>
            {error instanceof Refused ? error.message : "The orchestrator could not be reached."}{" "}
            {status && `The figures are as they were at ${clock(dataUpdatedAt)}. `}
            Picture and figures come back by themselves.
          </p>
        </Notice>
      )}
      {status ? (
        <Statistics status={status} stale={error !== null} />
      ) : (
        !error && <p className="empty">Asking {worker} for its figures.</p>
      )}
    </>
  );
}

/** The other workers, one step away. */
function Siblings({ worker }: { worker: string }) {
  const { data: fleet } = useFleet();
  if (!fleet) return null;
  return (
    <nav className="siblings" aria-label="Workers">
      {byIndex(fleet.workers).map(({ instance_id, stream_state }) => (
        <Link
          key={instance_id}
          to={streamPage(instance_id)}
          aria-current={instance_id === worker ? "page" : undefined}
          data-state={stream_state}
        >
          {instance_id}
        </Link>
      ))}
    </nav>
  );
}

function Choice({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <>
      <title>Streams · MetaBonk</title>
      <h1>{title}</h1>
      {children}
      <FleetAnswer>
        {(fleet) => (
          <section className="card">
            <WorkerTable workers={byIndex(fleet.workers)} />
          </section>
        )}
      </FleetAnswer>
    </>
  );
}

function Statistics({ status, stale }: { status: WorkerStatus; stale: boolean }) {
  return (
    <div className="answer side-by-side" data-stale={stale}>
      <section className="card" aria-labelledby="stream">
        <h2 id="stream">Stream</h2>
        <Figures figures={streamFigures(status)} />
        {status.stream_error && <p className="detail">{status.stream_error}</p>}
        {status.streamer_last_error && (
          <p className="detail">Last failure: {status.streamer_last_error}</p>
        )}
      </section>
      <section className="card" aria-labelledby="training">
        <h2 id="training">{status.mode === "train" ? "Training" : "Playing"}</h2>
        <Figures figures={trainingFigures(status)} />
      </section>
    </div>
  );
}

function streamFigures(status: WorkerStatus): Figure[] {
  const session =
    status.nvenc_slot === null
      ? []
      : [{ name: "NVENC slot", value: count(status.nvenc_slot), note: `GPU ${status.gpu_index}` }];
  return [
    { name: "Encoded FPS", value: rate(status.stream_fps) },
    { name: "Drawn FPS", value: rate(status.frames_fps) },
    {
      name: "Bitrate",
      value: status.stream_state === "live" ? bitrate(status.stream_bitrate) : MISSING,
    },
    { name: "Size", value: size(status.spectator_width, status.spectator_height) },
    {
      name: "Frames",
      value: count(status.frames_ok),
      note: `${count(status.frames_dropped)} dropped`,
    },
    {
      name: "Viewers",
      value: count(status.stream_active_clients),
      note: `${count(status.stream_dedicated_clients)} on its own page`,
    },
    { name: "Backend", value: status.stream_backend || MISSING },
    ...session,
  ];
}

function trainingFigures(status: WorkerStatus): Figure[] {
  return [
    { name: "Steps/s", value: rate(status.steps_per_s) },
    { name: "Steps", value: count(status.step) },
    { name: "Episodes", value: count(status.episode) },
    { name: "Last return", value: rate(status.episode_return) },
    { name: "Policy version", value: count(status.policy_version) },
    { name: "Observation", value: size(status.pixel_obs_width, status.pixel_obs_height) },
    { name: "Running for", value: duration(status.uptime_s) },
  ];
}
