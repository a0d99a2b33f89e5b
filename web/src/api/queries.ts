/** Queries of the pages and how often they poll. Polling also serves as the retry. */

import { keepPreviousData, QueryClient, useQueries, useQuery } from "@tanstack/react-query";
import { logUrl, statusUrl } from "../streams/urls";
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

const FAST_POLL_MS = 1_000;
const POLL_MS = 2_000;
const SLOW_POLL_MS = 5_000;
const CURVE_POINTS = 2_000;
const SPARKLINE_POINTS = 40;
const LOG_LINES = 200;

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: false,
        staleTime: FAST_POLL_MS / 2,
        // A fleet on the viewer's own machine is reachable without a network.
        networkMode: "always",
      },
    },
  });
}

function polled<Body>(url: string, refetchInterval: number) {
  return {
    queryKey: [url],
    queryFn: ({ signal }: { signal: AbortSignal }) => getJson<Body>(url, signal),
    refetchInterval,
  };
}

export function useFleet() {
  return useQuery(polled<Fleet>("/api/fleet", FAST_POLL_MS));
}

export function useFeatured() {
  return useQuery(polled<Featured>("/api/featured", FAST_POLL_MS));
}

export function useSessions() {
  return useQuery(polled<PoolStatus[]>("/api/sessions", POLL_MS));
}

export function useWorkerStatus(worker: string) {
  return useQuery(polled<WorkerStatus>(statusUrl(worker), FAST_POLL_MS));
}

export function useLog(worker: string) {
  return useQuery(polled<LogTail>(logUrl(worker, LOG_LINES), POLL_MS));
}

/** Learning curve of the current run, of one worker or of all. */
export function useCurve(worker?: number) {
  const filter = worker === undefined ? "" : `&worker=${worker}`;
  return useQuery(polled<CurvePoint[]>(`/api/curve?points=${CURVE_POINTS}${filter}`, SLOW_POLL_MS));
}

export function useSparkline(worker: number) {
  const url = `/api/curve?points=${SPARKLINE_POINTS}&worker=${worker}`;
  return useQuery(polled<CurvePoint[]>(url, SLOW_POLL_MS));
}

export function useEpisodes(worker: number, limit: number) {
  return useQuery(polled<Episode[]>(`/api/episodes?limit=${limit}&worker=${worker}`, POLL_MS));
}

export function useRuns() {
  return useQuery(polled<RunSummary[]>("/api/runs", SLOW_POLL_MS));
}

/** Learning curves in the order of `runs`; null for those still loading. */
export function useRunCurves(runs: readonly string[]): (CurvePoint[] | null)[] {
  return useQueries({
    queries: runs.map((run) =>
      polled<CurvePoint[]>(`${runUrl(run)}/curve?points=${CURVE_POINTS}`, SLOW_POLL_MS),
    ),
    combine: (results) => results.map(({ data }) => data ?? null),
  });
}

export function useBestEpisodes(run: string, limit: number) {
  const url = `${runUrl(run)}/episodes?order=best&limit=${limit}`;
  return useQuery({ ...polled<Episode[]>(url, SLOW_POLL_MS), placeholderData: keepPreviousData });
}

export function useCheckpoints(run: string) {
  const url = `${runUrl(run)}/checkpoints`;
  return useQuery({
    ...polled<Checkpoint[]>(url, SLOW_POLL_MS),
    placeholderData: keepPreviousData,
  });
}

function runUrl(run: string): string {
  return `/api/runs/${encodeURIComponent(run)}`;
}
