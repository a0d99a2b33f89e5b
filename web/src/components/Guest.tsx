/** What is shown of a guest: an environment of another trainer. */

import type { WorkerStatus } from "../api/schema";
import { RETURNS } from "../learning/terms";
import { toSentence } from "../streams/stream-status";
import { type Guest, isGuest } from "../streams/workers";
import { formatCount, formatFinePercent, formatNumber } from "./format";
import { type Stat, Stats } from "./Stats";

/** Headlines of a guest on stage. */
export function guestStats({ guest, episode_return }: Guest): Stat[] {
  return [
    {
      name: "Return so far",
      value: formatNumber(guest.episode_return),
      explanation: RETURNS.soFar,
    },
    { name: "Last return", value: formatNumber(episode_return), explanation: RETURNS.last },
    { name: "Step", value: formatCount(guest.episode_step) },
    { name: "Trainer's steps/s", value: formatNumber(guest.trainer_steps_per_s) },
  ];
}

/** Why a guest is drawn by its trainer or not at all; renders nothing for others. */
export function GuestNote({ worker }: { worker: WorkerStatus }) {
  if (!worker.guest?.note) return null;
  return <p className="detail">{toSentence(worker.guest.note)}</p>;
}

/** Statistics of the trainer, and of the episode that is shown. */
export function TrainerStats({ worker }: { worker: Guest }) {
  const { guest } = worker;
  const stats: Stat[] = [
    ...guestStats(worker),
    { name: "Episodes", value: formatCount(worker.episode), note: "shown to their end" },
    { name: "Drawn by", value: drawnBy(worker), note: drawingCost(worker) },
    { name: "Trainer's process", value: String(guest.trainer_pid) },
  ];
  return (
    <section className="card" aria-labelledby="trainer">
      <h2 id="trainer">Trainer</h2>
      <Stats stats={stats} />
      <GuestNote worker={worker} />
    </section>
  );
}

/** Whoever draws a guest, in words. */
export function drawnBy({ guest }: Guest): string {
  if (guest.drawn === "shadow") return "its shadow";
  return guest.drawn === "inline" ? "its trainer" : "nobody now";
}

/** What drawing costs the trainer, if that is known. */
export function drawingCost({ guest }: Guest): string | undefined {
  return guest.drawing_cost === null
    ? undefined
    : `${formatFinePercent(guest.drawing_cost)} of its time`;
}

/** Split workers into those of the fleet and guests. */
export function splitGuests(workers: readonly WorkerStatus[]): [WorkerStatus[], Guest[]] {
  return [workers.filter((worker) => !isGuest(worker)), workers.filter(isGuest)];
}
