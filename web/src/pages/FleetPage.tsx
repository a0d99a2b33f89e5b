import { useCurve, useRuns } from "../api/queries";
import type { Fleet, LearnerStatus, WorkerStatus } from "../api/schema";
import { EventFeed } from "../components/EventFeed";
import { FleetAnswer } from "../components/FleetLoader";
import { count, duration, rate, roughly } from "../components/format";
import { Curve } from "../components/LearningCurve";
import { Problems } from "../components/Problems";
import { Sessions } from "../components/Sessions";
import { type Figure, Figures } from "../components/Stats";
import { WorkerTable } from "../components/WorkerTable";
import { byIndex } from "../streams/workers";

/** `/`: who is alive, who is live, and how learning goes. */
export function FleetPage() {
  return (
    <>
      <title>Fleet · MetaBonk</title>
      <h1 className="unseen">Fleet</h1>
      <FleetAnswer>{(fleet) => <FleetReport fleet={fleet} />}</FleetAnswer>
    </>
  );
}

function FleetReport({ fleet }: { fleet: Fleet }) {
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
          <LearningCurve />
          <Learner learner={fleet.learner} playing={fleet.mode === "play"} />
        </div>
        <div className="stack">
          <Sessions />
          <EventFeed />
        </div>
      </div>
    </>
  );
}

/** What is read first, and from afar. */
function Headlines({ workers }: { workers: WorkerStatus[] }) {
  const { data: runs } = useRuns();
  const run = runs?.find(({ current }) => current);
  const sum = (of: (worker: WorkerStatus) => number) =>
    workers.reduce((total, worker) => total + of(worker), 0);
  const live = workers.filter((worker) => worker.stream_state === "live").length;
  const figures: Figure[] = [
    {
      name: "Return",
      value: rate(run?.recent_return),
      note: `last 100 episodes; best ${rate(run?.best_return)}`,
    },
    { name: "Live", value: count(live), note: `of ${count(workers.length)} workers` },
    { name: "Steps/s", value: rate(sum((worker) => worker.steps_per_s)), note: "all workers" },
    { name: "Steps", value: roughly(sum((worker) => worker.step)), note: "all workers" },
    { name: "Episodes", value: roughly(sum((worker) => worker.episode)), note: "finished" },
    { name: "Viewers", value: count(sum((worker) => worker.stream_active_clients)), note: "now" },
  ];
  return <Figures large figures={figures} />;
}

function LearningCurve() {
  const { data: points } = useCurve();
  return (
    <section className="card" aria-labelledby="curve">
      <h2 id="curve">Learning curve</h2>
      {points && points.length > 0 ? (
        <Curve points={points} />
      ) : (
        <p className="empty">
          {points
            ? "It begins with the first finished episode."
            : "Asking for the episodes so far."}
        </p>
      )}
    </section>
  );
}

function Learner({ learner, playing }: { learner: LearnerStatus | null; playing: boolean }) {
  return (
    <section className="card" aria-labelledby="learner">
      <h2 id="learner">Learner</h2>
      {learner ? (
        <Figures figures={learnerFigures(learner)} />
      ) : (
        <p className="empty">
          {playing
            ? "None: this fleet plays with the newest checkpoint."
            : "It does not answer. The workers go on with the weights they have."}
        </p>
      )}
    </section>
  );
}

function learnerFigures(learner: LearnerStatus): Figure[] {
  return [
    { name: "Policy version", value: count(learner.policy_version) },
    { name: "Steps learned/s", value: rate(learner.steps_per_s) },
    { name: "Steps learned", value: roughly(learner.steps_trained) },
    { name: "Steps dropped", value: roughly(learner.steps_dropped) },
    { name: "Policy lag", value: rate(learner.policy_lag), note: "versions" },
    { name: "Running for", value: duration(learner.uptime_s) },
  ];
}
