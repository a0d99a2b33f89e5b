import { useEffect, useMemo, useState } from "react";
import type { WorkerStatus } from "../api/schema";
import { remember, type Seen } from "./recent-workers";

/** The workers that are there, and those that were a moment ago, the first one first. */
export function useRoster(workers: readonly WorkerStatus[]): WorkerStatus[] {
  const [known, setKnown] = useState<ReadonlyMap<string, Seen>>(new Map());

  useEffect(() => setKnown((before) => remember(before, workers, Date.now())), [workers]);

  return useMemo(() => {
    const there = workers.map((worker) => worker.instance_id);
    const missed = [...known.values()]
      .map(({ worker }) => worker)
      .filter(({ instance_id }) => !there.includes(instance_id));
    return [...workers, ...missed].sort((a, b) => a.worker_index - b.worker_index);
  }, [workers, known]);
}
