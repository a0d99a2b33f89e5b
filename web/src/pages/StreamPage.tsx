import { type ReactNode, useMemo, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { Refused } from "../api/client";
import { useCurve, useEpisodes, useFeatured, useFleet, useWorkerStatus } from "../api/queries";
import type { WorkerStatus } from "../api/schema";
import { EpisodeTable } from "../components/EpisodeTable";
import { FleetAnswer } from "../components/FleetLoader";
import { clock } from "../components/format";
import { Go2rtcLink } from "../components/Go2rtcLink";
import { Curve } from "../components/LearningCurve";
import { LogTail } from "../components/LogTail";
import { Notice } from "../components/Notice";
import { StateTag } from "../components/StateTag";
import { StreamFigures, TrainingFigures } from "../components/StreamStats";
import { Screen } from "../components/StreamView";
import { useKeys } from "../components/shortcuts";
import { WorkerTable } from "../components/WorkerTable";
import type { LivePlayer } from "../player/live-player";
import { outlook } from "../streams/stream-status";
import { streamPage } from "../streams/urls";
import { byIndex } from "../streams/workers";

const EPISODES = 20;

/** `/stream?worker=omega-0`: one worker, its picture and its figures. */
export function StreamPage() {
  const [query] = useSearchParams();
  const worker = query.get("worker");
  return worker ? <OneStream key={worker} worker={worker} /> : <Choice title="Which worker?" />;
}

function OneStream({ worker }: { worker: string }) {
  const { data: status, error, dataUpdatedAt } = useWorkerStatus(worker);
  const [player, setPlayer] = useState<LivePlayer | null>(null);
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
      {status && <Outlook status={status} />}
      <Screen worker={worker} large onPlayer={setPlayer} />
      <Go2rtcLink worker={worker} />
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
        <div className="answer" data-stale={error !== null}>
          <div className="side-by-side">
            <StreamFigures status={status} player={player} />
            <TrainingFigures status={status} />
          </div>
          <div className="side-by-side">
            <Returns worker={status.worker_index} />
            <LastEpisodes worker={status.worker_index} />
          </div>
          <LogTail worker={worker} />
        </div>
      ) : (
        !error && <p className="empty">Asking {worker} for its figures.</p>
      )}
    </>
  );
}

/** The state, and what will come of it. */
function Outlook({ status }: { status: WorkerStatus }) {
  const { data: featured } = useFeatured();
  return (
    <p className="outlook">
      <StateTag state={status.stream_state} />
      <span>{outlook(status, featured)}</span>
    </p>
  );
}

/** The other workers, one step away. */
function Siblings({ worker }: { worker: string }) {
  const { data: fleet } = useFleet();
  const navigate = useNavigate();
  const ids = fleet ? byIndex(fleet.workers).map(({ instance_id }) => instance_id) : [];
  const all = ids.join();
  const actions = useMemo(() => {
    const names = all.split(",");
    const step = (by: number) => () => {
      const next = names[(names.indexOf(worker) + by + names.length) % names.length];
      if (next) void navigate(streamPage(next));
    };
    return { ArrowLeft: step(-1), ArrowRight: step(1) };
  }, [all, worker, navigate]);
  useKeys(actions);
  if (!fleet) return null;
  return (
    <nav className="siblings" aria-label="Workers">
      {ids.map((id) => (
        <Link
          key={id}
          to={streamPage(id)}
          aria-current={id === worker ? "page" : undefined}
          data-state={fleet.workers[id]?.stream_state}
        >
          {id}
        </Link>
      ))}
    </nav>
  );
}

function Returns({ worker }: { worker: number }) {
  const { data: points } = useCurve(worker);
  return (
    <section className="card" aria-labelledby="curve">
      <h2 id="curve">Its returns</h2>
      {points && points.length > 0 ? (
        <Curve points={points} />
      ) : (
        <p className="empty">
          {points ? "They begin with its first finished episode." : "Asking for its episodes."}
        </p>
      )}
    </section>
  );
}

function LastEpisodes({ worker }: { worker: number }) {
  const { data: episodes } = useEpisodes(worker, EPISODES);
  return (
    <section className="card" aria-labelledby="episodes">
      <h2 id="episodes">Last episodes</h2>
      {episodes && episodes.length > 0 ? (
        <EpisodeTable caption="Its last episodes, newest first" episodes={episodes} />
      ) : (
        <p className="empty">
          {episodes ? "None has ended in this run yet." : "Asking for its episodes."}
        </p>
      )}
    </section>
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
