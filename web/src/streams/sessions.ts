/** Who holds an encoder, read from the workers' own reports. */

import type { WorkerStatus } from "../api/schema";

export interface SessionPool {
  name: string;
  used: number;
  /** Null where the workers don't report one. */
  limit: number | null;
  holders: string[];
}

export function byIndex(workers: Record<string, WorkerStatus>): WorkerStatus[] {
  return Object.values(workers).sort((a, b) => a.worker_index - b.worker_index);
}

/** A pool for each GPU that reports sessions, and one for the encoders that run in software. */
export function sessionPools(workers: readonly WorkerStatus[]): SessionPool[] {
  const pools = new Map<string, SessionPool>();
  const pool = (name: string) => {
    const known = pools.get(name) ?? { name, used: 0, limit: null, holders: [] };
    pools.set(name, known);
    return known;
  };
  for (const worker of workers) {
    if (worker.nvenc_used !== null) {
      const gpu = pool(`NVENC, GPU ${worker.gpu_index ?? 0}`);
      // Sessions of other programs count too, so this is the driver's figure and not a sum.
      gpu.used = worker.nvenc_used;
      gpu.limit = worker.nvenc_limit;
      if (worker.nvenc_slot !== null) gpu.holders.push(worker.instance_id);
    }
    if (worker.nvenc_slot === null && worker.stream_backend !== "") {
      const software = pool("Software");
      software.used += 1;
      software.holders.push(worker.instance_id);
    }
  }
  return [...pools.values()];
}
