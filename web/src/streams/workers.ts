/** The fleet's workers in order, and what kind they are. */

import type { Fleet, GuestStatus, WorkerStatus } from "../api/schema";

/** Return the fleet's workers by ascending index. */
export function byIndex(workers: Record<string, WorkerStatus>): WorkerStatus[] {
  return Object.values(workers).sort((a, b) => a.worker_index - b.worker_index);
}

/** Worker that shows an environment of another trainer. */
export type Guest = WorkerStatus & { guest: GuestStatus };

export function isGuest(worker: WorkerStatus): worker is Guest {
  return worker.guest !== null;
}

/** Return whether nothing is trained here, and only environments of other trainers are shown. */
export function isHub(fleet: Fleet): boolean {
  return fleet.run === null;
}
