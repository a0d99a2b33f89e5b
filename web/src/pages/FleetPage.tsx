import { useCurve, useRuns } from "../api/queries";
import type { Fleet, LearnerStatus, WorkerStatus } from "../api/schema";
import { EventFeed } from "../components/EventFeed";
import { FleetLoader } from "../components/FleetLoader";
import { formatCompact, formatCount, formatDuration, formatNumber } from "../components/format";
import { LearningCurve } from "../components/LearningCurve";
import { Problems } from "../components/Problems";
import { Sessions } from "../components/Sessions";
import { type Stat, Stats } from "../components/Stats";
import { WorkerTable } from "../components/WorkerTable";
import { byIndex } from "../streams/workers";

/** `/`: workers, encoder sessions, events and training progress. */
export function FleetPage() {
  return (
    <>
      <title>Fleet · MetaBonk</title>
      <h1 className="visually-hidden">Fleet</h1>
      <FleetLoader>{(fleet) => <FleetOverview fleet={fleet} />}</FleetLoader>
    </>
  );
}

function FleetOverview({ fleet }: { fleet: Fleet }) {
  const workers = byIndex(fleet.workers);
  return (
    <>
      <Headlines workers={workers} />
      <Problems problems={fleet.problems} />
      <section className="card" aria-labelledby="workers">
        <h2 id="workers">Workers</h2>
        <WorkerTable workers={workers} />
      </section>
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

function Headlines({ workers }: { workers: WorkerStatus[] }) {
  const { data: runs } = useRuns();
  const run = runs?.find(({ current }) => current);
  const sum = (field: (worker: WorkerStatus) => number) =>
    workers.reduce((total, worker) => total + field(worker), 0);
  const live = workers.filter((worker) => worker.stream_state === "live").length;
  const stats: Stat[] = [
    {
      name: "Return",
      value: formatNumber(run?.recent_return),
      note: `last 100 episodes; best ${formatNumber(run?.best_return)}`,
    },
    {
      name: "Live",
      value: formatCount(live),
      note: workers.length === 1 ? "of 1 worker" : `of ${formatCount(workers.length)} workers`,
    },
    { name: "Steps/s", value: formatNumber(sum((w) => w.steps_per_s)), note: "all workers" },
    { name: "Steps", value: formatCompact(sum((w) => w.step)), note: "all workers" },
    { name: "Episodes", value: formatCompact(sum((w) => w.episode)), note: "finished" },
    { name: "Viewers", value: formatCount(sum((w) => w.stream_active_clients)), note: "now" },
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
