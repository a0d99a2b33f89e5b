/** Who belongs on the broadcast: also a worker that has died and is being started again. Pure. */

import type { WorkerStatus } from "../api/schema";

export interface Seen {
  worker: WorkerStatus;
  /** Milliseconds, of the last report that had it. */
  at: number;
}

/** A worker is started again within seconds; one that stays away this long isn't coming back. */
export const MISSED_FOR = 60_000;

/**
 * Everybody who is there, and who was until lately, by name.
 *
 * @param now milliseconds, when `workers` was reported
 */
export function remember(
  known: ReadonlyMap<string, Seen>,
  workers: readonly WorkerStatus[],
  now: number,
): ReadonlyMap<string, Seen> {
  const present = workers.map((worker) => [worker.instance_id, { worker, at: now }] as const);
  const missed = [...known].filter(([, { at }]) => now - at < MISSED_FOR);
  return new Map([...missed, ...present]);
}
