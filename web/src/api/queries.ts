/** What the pages ask for, and how often. Polling is the retry: an answer that comes back is shown. */

import { QueryClient, useQuery } from "@tanstack/react-query";
import { statusAddress } from "../streams/addresses";
import { getJson } from "./client";
import type { CurvePoint, Fleet, WorkerStatus } from "./schema";

const FLEET_INTERVAL_MS = 1_000;
const STATUS_INTERVAL_MS = 1_000;
const CURVE_INTERVAL_MS = 5_000;
const CURVE_POINTS = 500;

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: false,
        staleTime: FLEET_INTERVAL_MS / 2,
        // The fleet is often on this very machine, which needs no network to reach it.
        networkMode: "always",
      },
    },
  });
}

export function useFleet() {
  return useQuery({
    queryKey: ["fleet"],
    queryFn: ({ signal }) => getJson<Fleet>("/api/fleet", signal),
    refetchInterval: FLEET_INTERVAL_MS,
  });
}

export function useCurve() {
  return useQuery({
    queryKey: ["curve"],
    queryFn: ({ signal }) => getJson<CurvePoint[]>(`/api/curve?points=${CURVE_POINTS}`, signal),
    refetchInterval: CURVE_INTERVAL_MS,
  });
}

export function useWorkerStatus(worker: string) {
  return useQuery({
    queryKey: ["status", worker],
    queryFn: ({ signal }) => getJson<WorkerStatus>(statusAddress(worker), signal),
    refetchInterval: STATUS_INTERVAL_MS,
  });
}
