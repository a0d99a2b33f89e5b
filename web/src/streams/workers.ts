/** The fleet's workers in order, including those that are being restarted. */

import { useEffect, useMemo, useState } from "react";
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

export interface SeenWorker {
  worker: WorkerStatus;
  /** Time of the last report that contained it, milliseconds. */
  seenAt: number;
}

/** A worker restarts within seconds; one missing for this long is not coming back. */
export const KEEP_MISSING_MS = 60_000;

/**
 * Merge a report into the known workers, keeping those that went missing recently.
 *
 * @param now time of the report, milliseconds
 */
export function mergeReport(
  known: ReadonlyMap<string, SeenWorker>,
  workers: readonly WorkerStatus[],
  now: number,
): ReadonlyMap<string, SeenWorker> {
  const reported = workers.map((worker) => [worker.instance_id, { worker, seenAt: now }] as const);
  const kept = [...known].filter(([, { seenAt }]) => now - seenAt < KEEP_MISSING_MS);
  return new Map([...kept, ...reported]);
}

/** Return the reported workers and the recently missing ones, by ascending index. */
export function useRecentWorkers(workers: readonly WorkerStatus[]): WorkerStatus[] {
  const [known, setKnown] = useState<ReadonlyMap<string, SeenWorker>>(new Map());

  useEffect(() => setKnown((before) => mergeReport(before, workers, Date.now())), [workers]);

  return useMemo(() => {
    const reported = workers.map((worker) => worker.instance_id);
    const missing = [...known.values()]
      .map(({ worker }) => worker)
      .filter(({ instance_id }) => !reported.includes(instance_id));
    return [...workers, ...missing].sort((a, b) => a.worker_index - b.worker_index);
  }, [workers, known]);
}
