/** Everything below the live picture of the first page. */

import { useRuns } from "../api/queries";
import type { Fleet, LearnerStatus, Start, WorkerStatus } from "../api/schema";
import { RETURNS } from "../learning/terms";
import { byIndex, type Guest } from "../streams/workers";
import { hasRoomBeside } from "./Broadcast";
import { CurveCard } from "./CurveCard";
import { EventFeed } from "./EventFeed";
import { formatCompact, formatCount, formatDuration, formatNumber, formatPercent } from "./format";
import { splitGuests } from "./Guest";
import { GuestTable } from "./GuestTable";
import { HowToBroadcast } from "./HowToBroadcast";
import { NodeTables } from "./NodeTables";
import { OnAir } from "./OnAir";
import { Problems } from "./Problems";
import { ProgramPin } from "./ProgramPin";
import { Sessions } from "./Sessions";
import { Share } from "./Share";
import { describeStart, StartList } from "./Starts";
import { type Stat, Stats } from "./Stats";
import { WorkerTable } from "./WorkerTable";

/** Name of the learner's process. */
const LEARNER = "learner";

/** Workers, learner, encoder sessions and events of a fleet. */
export function FleetDetails({ fleet }: { fleet: Fleet }) {
  const [workers, guests] = splitGuests(byIndex(fleet.workers));
  return (
    <>
      <Headlines workers={workers} viewers={fleet.viewers} />
      <Problems problems={fleet.problems} />
      {workers.length > 0 && (
        <section className="card" aria-labelledby="workers">
          <h2 id="workers">Workers</h2>
          {fleet.nodes.length > 0 ? (
            <NodeTables nodes={fleet.nodes} workers={workers} />
          ) : (
            <WorkerTable workers={workers} />
          )}
          <StartList starting={unreported(fleet)} />
        </section>
      )}
      {guests.length > 0 && <GuestsCard guests={guests} />}
      <div className="side-by-side">
        <div className="stack">
          {!hasRoomBeside(fleet) && <CurveCard />}
          <LearnerCard fleet={fleet} />
          <EventFeed />
        </div>
        <div className="stack">
          <ProgramPin fleet={fleet} />
          <OnAir />
          <Sessions />
          <Share worker={null} />
        </div>
      </div>
    </>
  );
}

/** A hub's environments, encoder sessions and events. */
export function HubOverview({ hub }: { hub: Fleet }) {
  const [, guests] = splitGuests(byIndex(hub.workers));
  return (
    <>
      <title>Environments · MetaBonk</title>
      <h1 className="visually-hidden">Environments</h1>
      <Stats large stats={hubStats(guests, hub.viewers)} />
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

function hubStats(guests: Guest[], viewers: number): Stat[] {
  const trainers = new Set(guests.map(({ guest }) => guest.trainer_pid)).size;
  return [
    { name: "Environments", value: formatCount(guests.length), note: inProcesses(trainers) },
    liveStat(guests, "environment"),
    {
      name: "Trainers' steps/s",
      value: formatNumber(total(guests, ({ guest }) => guest.trainer_steps_per_s ?? 0)),
      note: "of the environments that are shown",
    },
    viewersStat(viewers),
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

function viewersStat(viewers: number): Stat {
  return { name: "Viewers", value: formatCount(viewers), note: "now" };
}

/** Return the starts of workers that have not reported in this run. */
function unreported({ starting, workers }: Fleet): Record<string, Start> {
  const entries = Object.entries(starting).filter(([name]) => name !== LEARNER && !workers[name]);
  return Object.fromEntries(entries);
}

function total<Row>(rows: Row[], field: (row: Row) => number): number {
  return rows.reduce((sum, row) => sum + field(row), 0);
}

function Headlines({ workers, viewers }: { workers: WorkerStatus[]; viewers: number }) {
  const { data: runs } = useRuns();
  const run = runs?.find(({ current }) => current);
  const sum = (field: (worker: WorkerStatus) => number) => total(workers, field);
  const stats: Stat[] = [
    {
      name: "Return",
      value: formatNumber(run?.recent_return),
      note: `last 100 episodes; best ${formatNumber(run?.best_return)}`,
      explanation: RETURNS.mean,
    },
    liveStat(workers, "worker"),
    { name: "Steps/s", value: formatNumber(sum((w) => w.steps_per_s)), note: "all workers" },
    { name: "Steps", value: formatCompact(sum((w) => w.step)), note: "all workers" },
    { name: "Episodes", value: formatCompact(sum((w) => w.episode)), note: "finished" },
    viewersStat(viewers),
  ];
  return <Stats large stats={stats} />;
}

function LearnerCard({ fleet: { learner, mode, starting } }: { fleet: Fleet }) {
  const start = starting[LEARNER];
  return (
    <section className="card" aria-labelledby="learner">
      <h2 id="learner">Learner</h2>
      {learner ? (
        <Stats stats={learnerStats(learner)} />
      ) : (
        <p className="empty">
          {mode === "play"
            ? "Not running: in play mode the fleet plays the newest checkpoint."
            : start
              ? describeStart("the learner", start)
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
    { name: "Waiting for games", value: formatPercent(learner.waiting), note: "of its time" },
    { name: "Uptime", value: formatDuration(learner.uptime_s) },
  ];
}
