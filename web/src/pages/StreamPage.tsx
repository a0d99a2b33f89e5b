import { type ReactNode, useMemo, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { useCurve, useEpisodes, useFeatured, useFleet } from "../api/queries";
import type { Fleet, Start, WorkerStatus } from "../api/schema";
import { EpisodeTable } from "../components/EpisodeTable";
import { FleetLoader } from "../components/FleetLoader";
import { Go2rtcLink } from "../components/Go2rtcLink";
import { splitGuests, TrainerStats } from "../components/Guest";
import { GuestTable } from "../components/GuestTable";
import { HowToBroadcast } from "../components/HowToBroadcast";
import { LearningCurve } from "../components/LazyCurves";
import { LogTail } from "../components/LogTail";
import { ConnectionNotice } from "../components/Notice";
import { Share } from "../components/Share";
import { StartStatus } from "../components/Starts";
import { StateTag } from "../components/StateTag";
import { StreamStats, TrainingStats } from "../components/StreamStats";
import { StreamView } from "../components/StreamView";
import { useShortcuts } from "../components/shortcuts";
import { WatchLast } from "../components/WatchLast";
import { WorkerTable } from "../components/WorkerTable";
import type { LivePlayer } from "../player/live-player";
import type { PlayerState } from "../player/player-state";
import { describeStream, streamState } from "../streams/stream-status";
import { streamPath } from "../streams/urls";
import { byIndex, isGuest, isHub } from "../streams/workers";

const EPISODES = 20;

/** `/stream?worker=omega-0`: stream, statistics, episodes and log of one worker. */
export function StreamPage() {
  const [query] = useSearchParams();
  const worker = query.get("worker");
  if (!worker) return <WorkerChoice title="Choose a stream" />;
  return <WorkerStream key={worker} worker={worker} />;
}

function WorkerStream({ worker }: { worker: string }) {
  const { data: fleet, error, dataUpdatedAt } = useFleet();
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const [playerState, setPlayerState] = useState<PlayerState>("waiting");
  const reported = fleet?.workers[worker];
  const start = fleet?.starting[worker];
  if (fleet && !reported && !start) {
    return (
      <WorkerChoice title={`There is no worker ${worker}`}>
        <p>It may be an environment whose trainer has ended. These are there now.</p>
      </WorkerChoice>
    );
  }
  // The stream itself says first what becomes of it.
  const status = reported && { ...reported, stream_state: streamState(reported, playerState) };
  return (
    <>
      <title>{`${worker} · MetaBonk`}</title>
      <div className="page-title">
        <h1>{worker}</h1>
        <WorkerNav worker={worker} />
      </div>
      {status ? (
        <StreamStatus status={status} start={start} />
      ) : (
        start && <StartStatus name={worker} start={start} />
      )}
      <StreamView
        worker={worker}
        large
        hasSaliency={!status || !isGuest(status)}
        onPlayer={setPlayer}
        onState={setPlayerState}
      />
      <Share worker={worker} />
      <Go2rtcLink worker={worker} />
      {error && <ConnectionNotice error={error} dataUpdatedAt={fleet ? dataUpdatedAt : null} />}
      {status ? (
        <div className="loaded" data-stale={error !== null}>
          <div className="side-by-side">
            <StreamStats status={status} player={player} />
            {isGuest(status) ? <TrainerStats worker={status} /> : <TrainingStats status={status} />}
          </div>
          {!isGuest(status) && (
            <div className="side-by-side">
              <ReturnsCard worker={status.worker_index} />
              <EpisodesCard worker={status.worker_index} />
            </div>
          )}
          <LogTail worker={worker} />
        </div>
      ) : (
        !error && !start && <p className="empty">Loading {worker}…</p>
      )}
    </>
  );
}

function StreamStatus({ status, start }: { status: WorkerStatus; start: Start | undefined }) {
  const { data: featured } = useFeatured();
  if (start) return <StartStatus name={status.instance_id} start={start} />;
  return (
    <p className="stream-status">
      <StateTag state={status.stream_state} />
      <span>{describeStream(status, featured)}</span>
      {status.stream_state === "standby" && !isGuest(status) && <WatchLast worker={status} />}
    </p>
  );
}

/** Links to all workers; the arrow keys move to the previous or next one. */
function WorkerNav({ worker }: { worker: string }) {
  const { data: fleet } = useFleet();
  const navigate = useNavigate();
  const ids = fleet ? byIndex(fleet.workers).map(({ instance_id }) => instance_id) : [];
  const joinedIds = ids.join();
  const actions = useMemo(() => {
    const all = joinedIds.split(",");
    const move = (offset: number) => () => {
      const next = all[(all.indexOf(worker) + offset + all.length) % all.length];
      if (next) void navigate(streamPath(next));
    };
    return { ArrowLeft: move(-1), ArrowRight: move(1) };
  }, [joinedIds, worker, navigate]);
  useShortcuts(actions);
  if (!fleet) return null;
  return (
    <nav className="worker-nav" aria-label="Workers">
      {ids.map((id) => (
        <Link
          key={id}
          to={streamPath(id)}
          aria-current={id === worker ? "page" : undefined}
          data-state={fleet.workers[id]?.stream_state}
        >
          {id}
        </Link>
      ))}
    </nav>
  );
}

function ReturnsCard({ worker }: { worker: number }) {
  const { data: points } = useCurve(worker);
  return (
    <section className="card" aria-labelledby="returns">
      <h2 id="returns">Returns</h2>
      {points && points.length > 0 ? (
        <LearningCurve points={points} worker={worker} />
      ) : (
        <p className="empty">
          {points ? "Starts with the first finished episode." : "Loading the episodes…"}
        </p>
      )}
    </section>
  );
}

function EpisodesCard({ worker }: { worker: number }) {
  const { data: episodes } = useEpisodes(worker, EPISODES);
  return (
    <section className="card" aria-labelledby="episodes">
      <h2 id="episodes">Recent episodes</h2>
      {episodes && episodes.length > 0 ? (
        <EpisodeTable caption="Recent episodes, newest first" episodes={episodes} />
      ) : (
        <p className="empty">
          {episodes ? "No finished episodes in this run yet." : "Loading the episodes…"}
        </p>
      )}
    </section>
  );
}

function WorkerChoice({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <>
      <title>Streams · MetaBonk</title>
      <h1>{title}</h1>
      {children}
      <FleetLoader>{(fleet) => <WorkerTables fleet={fleet} />}</FleetLoader>
    </>
  );
}

function WorkerTables({ fleet }: { fleet: Fleet }) {
  const [workers, guests] = splitGuests(byIndex(fleet.workers));
  if (isHub(fleet) && guests.length === 0) return <HowToBroadcast />;
  return (
    <>
      {!isHub(fleet) && (
        <section className="card">
          <WorkerTable workers={workers} />
        </section>
      )}
      {guests.length > 0 && (
        <section className="card">
          <GuestTable guests={guests} />
        </section>
      )}
    </>
  );
}
