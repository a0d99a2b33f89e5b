import { Navigate, useLocation } from "react-router";
import { useCurve, useRuns } from "../api/queries";
import type { Fleet, LearnerStatus, WorkerStatus } from "../api/schema";
import { EventFeed } from "../components/EventFeed";
import { FleetLoader } from "../components/FleetLoader";
import { formatCompact, formatCount, formatDuration, formatNumber } from "../components/format";
import { GuestTable, splitGuests } from "../components/Guest";
import { HowToBroadcast } from "../components/HowToBroadcast";
import { LearningCurve } from "../components/LearningCurve";
import { NodeTables } from "../components/NodeTables";
import { Problems } from "../components/Problems";
import { Sessions } from "../components/Sessions";
import { type Stat, Stats } from "../components/Stats";
import { WorkerTable } from "../components/WorkerTable";
import { byIndex, type Guest, isHub } from "../streams/workers";

/**
 * `/`: workers, encoder sessions, events and training progress.
 *
 * A hub has none of the latter; whoever opens its address wants to see the environments first.
 */
export function FleetPage() {
  const isFirstPage = useLocation().key === "default";
  return (
    <FleetLoader>
      {(fleet) => {
        if (!isHub(fleet)) return <FleetOverview fleet={fleet} />;
        if (isFirstPage) return <Navigate to="/neural/broadcast" replace />;
        return <HubOverview hub={fleet} />;
      }}
    </FleetLoader>
  );
}

function FleetOverview({ fleet }: { fleet: Fleet }) {
  const [workers, guests] = splitGuests(byIndex(fleet.workers));
  return (
    <>
      <title>Fleet · MetaBonk</title>
      <h1 className="visually-hidden">Fleet</h1>
      <Headlines workers={workers} />
      <Problems problems={fleet.problems} />
      <section className="card" aria-labelledby="workers">
        <h2 id="workers">Workers</h2>
        {fleet.nodes.length > 0 ? (
          <NodeTables nodes={fleet.nodes} workers={workers} />
        ) : (
          <WorkerTable workers={workers} />
        )}
      </section>
      {guests.length > 0 && <GuestsCard guests={guests} />}
      <div className="side-by-side">
        <div className="stack">
          <CurveCard />
          <LearnerCard learner={fleet.learner} playing={fleet.mode === "play"} />
        </div>
        <div className="stack">
          <Sessions />
          <EventFeed />
        </div>
      </div>
    </>
  );
}

function HubOverview({ hub }: { hub: Fleet }) {
  const [, guests] = splitGuests(byIndex(hub.workers));
  return (
    <>
      <title>Environments · MetaBonk</title>
      <h1 className="visually-hidden">Environments</h1>
      <Stats large stats={hubStats(guests)} />
      <Problems problems={hub.problems} />
      {guests.length > 0 ? <GuestsCard guests={guests} /> : <HowToBroadcast />}
      <div className="side-by-side">
        <Sessions />
        <EventFeed />
      </div>
    </>
  );
}

function GuestsCard({ guests }: { guests: Guest[] }) {
  return (
    <section className="card" aria-labelledby="broadcasts">
      <h2 id="broadcasts">Environments of other trainers</h2>
      <GuestTable guests={guests} />
    </section>
  );
}

function hubStats(guests: Guest[]): Stat[] {
  const trainers = new Set(guests.map(({ guest }) => guest.trainer_pid)).size;
  return [
    { name: "Environments", value: formatCount(guests.length), note: inProcesses(trainers) },
    liveStat(guests, "environment"),
    {
      name: "Trainers' steps/s",
      value: formatNumber(total(guests, ({ guest }) => guest.trainer_steps_per_s ?? 0)),
      note: "of the environments that are shown",
    },
    viewersStat(guests),
  ];
}

function inProcesses(trainers: number): string {
  return trainers === 1 ? "in 1 process" : `in ${formatCount(trainers)} processes`;
}

function liveStat(workers: WorkerStatus[], noun: string): Stat {
  const live = workers.filter((worker) => worker.stream_state === "live").length;
  const all = `${formatCount(workers.length)} ${noun}${workers.length === 1 ? "" : "s"}`;
  return { name: "Live", value: formatCount(live), note: `of ${all}` };
}

function viewersStat(workers: WorkerStatus[]): Stat {
  const viewers = total(workers, (worker) => worker.stream_active_clients);
  return { name: "Viewers", value: formatCount(viewers), note: "now" };
}

function total<Row>(rows: Row[], field: (row: Row) => number): number {
  return rows.reduce((sum, row) => sum + field(row), 0);
}

function Headlines({ workers }: { workers: WorkerStatus[] }) {
  const { data: runs } = useRuns();
  const run = runs?.find(({ current }) => current);
  const sum = (field: (worker: WorkerStatus) => number) => total(workers, field);
  const stats: Stat[] = [
    {
      name: "Return",
      value: formatNumber(run?.recent_return),
      note: `last 100 episodes; best ${formatNumber(run?.best_return)}`,
    },
    liveStat(workers, "worker"),
    { name: "Steps/s", value: formatNumber(sum((w) => w.steps_per_s)), note: "all workers" },
    { name: "Steps", value: formatCompact(sum((w) => w.step)), note: "all workers" },
    { name: "Episodes", value: formatCompact(sum((w) => w.episode)), note: "finished" },
    viewersStat(workers),
  ];
  return <Stats large stats={stats} />;
}

function CurveCard() {
  const { data: points } = useCurve();
  return (
    <section className="card" aria-labelledby="curve">
      <h2 id="curve">Learning curve</h2>
      {points && points.length > 0 ? (
        <LearningCurve points={points} />
      ) : (
        <p className="empty">
          {points ? "Starts with the first finished episode." : "Loading the episodes…"}
        </p>
      )}
    </section>
  );
}

function LearnerCard({ learner, playing }: { learner: LearnerStatus | null; playing: boolean }) {
  return (
    <section className="card" aria-labelledby="learner">
      <h2 id="learner">Learner</h2>
      {learner ? (
        <Stats stats={learnerStats(learner)} />
      ) : (
        <p className="empty">
          {playing
            ? "Not running: in play mode the fleet plays the newest checkpoint."
            : "The learner does not answer. Workers keep playing with their current weights."}
        </p>
      )}
    </section>
  );
}

function learnerStats(learner: LearnerStatus): Stat[] {
  return [
    { name: "Policy version", value: formatCount(learner.policy_version) },
    { name: "Steps trained/s", value: formatNumber(learner.steps_per_s) },
    { name: "Steps trained", value: formatCompact(learner.steps_trained) },
    { name: "Steps dropped", value: formatCompact(learner.steps_dropped) },
    { name: "Policy lag", value: formatNumber(learner.policy_lag), note: "versions" },
    { name: "Uptime", value: formatDuration(learner.uptime_s) },
  ];
}
