/** What the pages ask for, and how often. Polling is the retry: an answer that comes back is shown. */

import { keepPreviousData, QueryClient, useQueries, useQuery } from "@tanstack/react-query";
import { logAddress, statusAddress } from "../streams/urls";
import { getJson } from "./client";
import type {
  Checkpoint,
  CurvePoint,
  Episode,
  Featured,
  Fleet,
  LogTail,
  PoolStatus,
  RunSummary,
  WorkerStatus,
} from "./schema";

/** Milliseconds. What is watched changes every second; what is learned, more slowly. */
const OFTEN = 1_000;
const SOMETIMES = 2_000;
const SELDOM = 5_000;
const CURVE_POINTS = 2_000;
const SPARKLINE_POINTS = 40;
const LOG_LINES = 200;

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: false,
        staleTime: OFTEN / 2,
        // The fleet is often on this very machine, which needs no network to reach it.
        networkMode: "always",
      },
    },
  });
}

function question<Answer>(address: string, refetchInterval: number) {
  return {
    queryKey: [address],
    queryFn: ({ signal }: { signal: AbortSignal }) => getJson<Answer>(address, signal),
    refetchInterval,
  };
}

export function useFleet() {
  return useQuery(question<Fleet>("/api/fleet", OFTEN));
}

export function useFeatured() {
  return useQuery(question<Featured>("/api/featured", OFTEN));
}

export function useSessions() {
  return useQuery(question<PoolStatus[]>("/api/sessions", SOMETIMES));
}

export function useWorkerStatus(worker: string) {
  return useQuery(question<WorkerStatus>(statusAddress(worker), OFTEN));
}

export function useLog(worker: string) {
  return useQuery(question<LogTail>(logAddress(worker, LOG_LINES), SOMETIMES));
}

/** The learning curve of the run: of all workers, or of one. */
export function useCurve(worker?: number) {
  const of = worker === undefined ? "" : `&worker=${worker}`;
  return useQuery(question<CurvePoint[]>(`/api/curve?points=${CURVE_POINTS}${of}`, SELDOM));
}

export function useSparkline(worker: number) {
  const address = `/api/curve?points=${SPARKLINE_POINTS}&worker=${worker}`;
  return useQuery(question<CurvePoint[]>(address, SELDOM));
}

export function useEpisodes(worker: number, limit: number) {
  return useQuery(question<Episode[]>(`/api/episodes?limit=${limit}&worker=${worker}`, SOMETIMES));
}

export function useRuns() {
  return useQuery(question<RunSummary[]>("/api/runs", SELDOM));
}

/** The curves of several runs, each in its place; null while its answer is awaited. */
export function useRunCurves(runs: readonly string[]): (CurvePoint[] | null)[] {
  return useQueries({
    queries: runs.map((run) =>
      question<CurvePoint[]>(`${runAddress(run)}/curve?points=${CURVE_POINTS}`, SELDOM),
    ),
    combine: (answers) => answers.map(({ data }) => data ?? null),
  });
}

export function useBestEpisodes(run: string, limit: number) {
  const address = `${runAddress(run)}/episodes?order=best&limit=${limit}`;
  return useQuery({ ...question<Episode[]>(address, SELDOM), placeholderData: keepPreviousData });
}

export function useCheckpoints(run: string) {
  const address = `${runAddress(run)}/checkpoints`;
  return useQuery({
    ...question<Checkpoint[]>(address, SELDOM),
    placeholderData: keepPreviousData,
  });
}

function runAddress(run: string): string {
  return `/api/runs/${encodeURIComponent(run)}`;
}
