/**
 * Queries of the pages and how often they poll. Polling also serves as the retry.
 *
 * The fleet is delivered (`feed`), and polled only while the feed is not connected.
 */

import {
  keepPreviousData,
  QueryClient,
  skipToken,
  useInfiniteQuery,
  useMutation,
  useQueries,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import {
  type EpisodeChoice,
  type EpisodeKey,
  episodeUrl,
  replayStatusUrl,
  replayTrackUrl,
  type Side,
} from "../replays/urls";
import { logUrl } from "../streams/urls";
import { API } from "./base-path";
import { checkOrigin, getJson, NetworkError, send } from "./client";
import { FEATURED_URL, FEED, type Feed, FLEET_URL, SILENT } from "./feed";
import type {
  AirStatus,
  AirSwitch,
  Checkpoint,
  CurvePoint,
  EmbedLink,
  Episode,
  Featured,
  Fleet,
  FleetEvent,
  Highlight,
  Incident,
  LearningCurves,
  LogTail,
  PoolStatus,
  ProgramPin,
  ReplayState,
  ReplayStatus,
  ReplayTrack,
  RunNotes,
  RunSummary,
  Severity,
} from "./schema";

const FAST_POLL_MS = 1_000;
/** The feed says something each second, and each time puts off the next poll. */
const FED_POLL_MS = 3_000;
const POLL_MS = 2_000;
const SLOW_POLL_MS = 5_000;
const INCIDENT_POLL_MS = 15_000;
const REPLAY_POLL_MS = 500;
/** Until the first episode, so that it is plotted within a second: a heartbeat takes half of that. */
const EMPTY_POLL_MS = 300;
/** The rematch is played before its track is known. */
const TRACK_TIMEOUT_MS = 120_000;
const CURVE_POINTS = 2_000;
const TREND_POINTS = 40;
const LEARNING_POINTS = 1_000;
const LEARNING_POLL_MS = 10_000;
const RUNS_URL = `${API}/runs`;
const LOG_LINES = 200;
const EVENT_LOG_URL = `${API}/events/log`;
const EVENT_PAGE = 100;

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

/** Events, and whether the feed is connected. */
export function useFeed(): Feed {
  return useQuery<Feed>({ queryKey: [FEED], queryFn: skipToken }).data ?? SILENT;
}

/**
 * Events from before those of the feed, of one severity and worse, loaded on request.
 *
 * @param before id of the oldest event of the feed
 */
export function useEarlierEvents(severity: Severity, before: number) {
  return useInfiniteQuery({
    queryKey: [EVENT_LOG_URL, severity],
    queryFn: ({ signal, pageParam }) =>
      getJson<FleetEvent[]>(
        `${EVENT_LOG_URL}?before=${pageParam}&limit=${EVENT_PAGE}&severity=${severity}`,
        signal,
      ),
    initialPageParam: before,
    getNextPageParam: (page) => (page.length < EVENT_PAGE ? null : page.at(-1)?.id),
    enabled: false,
  });
}

function useFed<Body>(url: string) {
  const { connected } = useFeed();
  return useQuery({
    ...polled<Body>(url, connected ? FED_POLL_MS : FAST_POLL_MS),
    staleTime: FED_POLL_MS,
  });
}

export function useFleet() {
  return useFed<Fleet>(FLEET_URL);
}

/** Whether the server takes this page for its own; it doesn't change while the page is open. */
export function useOriginCheck() {
  return useQuery({
    queryKey: ["origin"],
    queryFn: checkOrigin,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function useFeatured() {
  return useQuery({
    ...polled<Featured>(FEATURED_URL, FAST_POLL_MS),
    refetchInterval: useFeed().connected ? false : FAST_POLL_MS,
  });
}

const AIR_URL = `${API}/air`;

/** What goes on air, and its switch. */
export function useAir() {
  const client = useQueryClient();
  const { data } = useQuery(polled<AirStatus>(AIR_URL, SLOW_POLL_MS));
  const switchAir = async (on: boolean) => {
    await send("PUT", AIR_URL, { on } satisfies AirSwitch);
    await client.invalidateQueries({ queryKey: [AIR_URL] });
  };
  return { air: data, switchAir };
}

/** Choose a worker for the program, or leave it to the director; the feed tells every page. */
export function pinProgram(worker: string | null): Promise<null> {
  return send("PUT", `${API}/program/pin`, { worker } satisfies ProgramPin);
}

/** What somebody should be woken for. */
export function useIncidents() {
  return useQuery(polled<Incident[]>(`${API}/incidents`, INCIDENT_POLL_MS));
}

/** Address of the tile of a worker or the program for pages elsewhere; it doesn't change. */
export function useEmbedLink(name: string) {
  const url = `${API}/embed?worker=${encodeURIComponent(name)}`;
  return useQuery({
    queryKey: [url],
    queryFn: ({ signal }: { signal: AbortSignal }) => getJson<EmbedLink>(url, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function useSessions() {
  return useQuery(polled<PoolStatus[]>(`${API}/sessions`, SLOW_POLL_MS));
}

export function useLog(worker: string) {
  return useQuery(polled<LogTail>(logUrl(worker, LOG_LINES), POLL_MS));
}

/** Learning curve of the current run, of one worker or of all. */
export function useCurve(worker?: number) {
  const filter = worker === undefined ? "" : `&worker=${worker}`;
  return useQuery({
    ...polled<CurvePoint[]>(`${API}/curve?points=${CURVE_POINTS}${filter}`, SLOW_POLL_MS),
    refetchInterval: ({ state }) => (state.data?.length === 0 ? EMPTY_POLL_MS : SLOW_POLL_MS),
  });
}

/** Returns of each worker, by its index: one request for all of them. */
export function useTrends() {
  return useQuery(
    polled<Record<string, number[]>>(`${API}/trends?points=${TREND_POINTS}`, SLOW_POLL_MS),
  );
}

export function useEpisodes(worker: number, limit: number) {
  const url = `${API}/episodes?limit=${limit}&worker=${worker}`;
  return useQuery(polled<Episode[]>(url, SLOW_POLL_MS));
}

export function useRuns() {
  return useQuery(polled<RunSummary[]>(RUNS_URL, SLOW_POLL_MS));
}

/** Learning curves in the order of `runs`; null for those still loading. */
export function useRunCurves(runs: readonly string[]): (CurvePoint[] | null)[] {
  return useQueries({
    queries: runs.map((run) =>
      polled<CurvePoint[]>(`${runUrl(run)}/curve?points=${CURVE_POINTS}`, SLOW_POLL_MS),
    ),
    combine: resultsOrNull,
  });
}

/** What the learners of runs have recorded, in their order; null for those still loading. */
export function useLearning(runs: readonly string[]): (LearningCurves | null)[] {
  return useQueries({
    queries: runs.map((run) =>
      polled<LearningCurves>(`${runUrl(run)}/learning?points=${LEARNING_POINTS}`, LEARNING_POLL_MS),
    ),
    combine: resultsOrNull,
  });
}

/** Settings of runs, in their order; null for those still loading. */
export function useRunSettings(runs: readonly string[]): (Record<string, string> | null)[] {
  return useQueries({
    queries: runs.map((run) => ({
      ...polled<Record<string, string>>(`${runUrl(run)}/settings`, SLOW_POLL_MS),
      refetchInterval: false as const,
    })),
    combine: resultsOrNull,
  });
}

function resultsOrNull<Body>(results: { data: Body | undefined }[]): (Body | null)[] {
  return results.map(({ data }) => data ?? null);
}

export function useSaveNotes(run: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (notes: RunNotes) => send("PUT", `${runUrl(run)}/notes`, notes),
    onSuccess: () => client.invalidateQueries({ queryKey: [RUNS_URL] }),
    networkMode: "always",
  });
}

export function useDeleteRun(run: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => send("DELETE", runUrl(run)),
    onSuccess: () => client.invalidateQueries({ queryKey: [RUNS_URL] }),
    networkMode: "always",
  });
}

export function useBestEpisodes(run: string, limit: number) {
  const url = `${runUrl(run)}/episodes?order=best&limit=${limit}`;
  return useQuery({ ...polled<Episode[]>(url, SLOW_POLL_MS), placeholderData: keepPreviousData });
}

/** The episode that a link names; null if there is none, which is asked again. */
export function useEpisode(run: string | undefined, choice: EpisodeChoice) {
  const url = run === undefined ? "" : episodeUrl(run, choice);
  return useQuery({
    queryKey: [url],
    queryFn: ({ signal }) => getJson<Episode | Episode[]>(url, signal),
    select: (answer) => (Array.isArray(answer) ? (answer[0] ?? null) : answer),
    enabled: run !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: ({ state: { data } }) =>
      data === undefined || (Array.isArray(data) && data.length === 0) ? POLL_MS : false,
  });
}

/** A replay is over once it is whole, or known to be none; a failed one is tried again. */
const SETTLED: ReadonlySet<ReplayState> = new Set(["whole", "different"]);

export function useReplayStatus(episode: EpisodeKey, side: Side) {
  return useQuery({
    ...polled<ReplayStatus>(replayStatusUrl(episode, side), REPLAY_POLL_MS),
    refetchInterval: ({ state }) =>
      state.data && SETTLED.has(state.data.state) ? false : REPLAY_POLL_MS,
  });
}

/** Tracks in the order of `sides`. */
export function useReplayTracks(episode: EpisodeKey, sides: readonly Side[]) {
  return useQueries({
    queries: sides.map((side) => {
      const url = replayTrackUrl(episode, side);
      return {
        queryKey: [url],
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          getJson<ReplayTrack>(url, signal, TRACK_TIMEOUT_MS),
        staleTime: Number.POSITIVE_INFINITY,
        retry: (_: number, error: Error) => error instanceof NetworkError,
      };
    }),
    combine: (results) => results.map(({ data, error }) => ({ track: data, error })),
  });
}

export function useCheckpoints(run: string) {
  const url = `${runUrl(run)}/checkpoints`;
  return useQuery({
    ...polled<Checkpoint[]>(url, SLOW_POLL_MS),
    placeholderData: keepPreviousData,
  });
}

export function useHighlight(run: string) {
  return useQuery(polled<Highlight | null>(`${runUrl(run)}/highlight`, SLOW_POLL_MS));
}

function runUrl(run: string): string {
  return `${API}/runs/${encodeURIComponent(run)}`;
}
