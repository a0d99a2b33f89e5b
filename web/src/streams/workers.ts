import type { WorkerStatus } from "../api/schema";

/** The fleet's workers, the first one first. */
export function byIndex(workers: Record<string, WorkerStatus>): WorkerStatus[] {
  return Object.values(workers).sort((a, b) => a.worker_index - b.worker_index);
}
