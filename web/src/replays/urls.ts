/** URLs of replays, and the query string of their page. */

import { API } from "../api/base-path";

/** The episode as it was played, or the newest policy on the same seed. */
export type Side = "replay" | "rematch";

/** Episode of a run by its id; ids are unique in the run. */
export interface EpisodeKey {
  run: string;
  id: number;
}

/** How a link names an episode; all but `id` are resolved when the page opens. */
export type EpisodeChoice =
  | { by: "id"; id: number }
  /** Of one worker, or of all. */
  | { by: "best" | "worst" | "last"; worker: number | null }
  /** The one nearest to a step of the fleet. */
  | { by: "step"; step: number; worker: number | null };

/** Query string of `/replay`. */
export interface ReplayQuery {
  /** Null is the current run. */
  run: string | null;
  episode: EpisodeChoice;
  /** Seconds from the episode's start. */
  time: number;
  /** Whether the newest policy on the same seed plays beside it. */
  rematch: boolean;
}

export function parseReplayQuery(params: URLSearchParams): ReplayQuery {
  return {
    run: params.get("run") || null,
    episode: parseChoice(params),
    time: parseNumber(params.get("t")) ?? 0,
    rematch: params.get("with") === "rematch",
  };
}

function parseChoice(params: URLSearchParams): EpisodeChoice {
  const worker = parseCount(params.get("worker"));
  const step = parseCount(params.get("step"));
  const episode = params.get("episode");
  const id = parseCount(episode);
  if (id !== null) return { by: "id", id };
  if (episode === "best" || episode === "worst") return { by: episode, worker };
  if (step !== null && episode === null) return { by: "step", step, worker };
  return { by: "last", worker };
}

function parseNumber(text: string | null): number | null {
  const value = text ? Number(text) : Number.NaN;
  return Number.isFinite(value) && value >= 0 ? value : null;
}

function parseCount(text: string | null): number | null {
  const value = parseNumber(text);
  return Number.isSafeInteger(value) ? value : null;
}

/** Return the page's path for an episode; `time` is rounded to hundredths, and 0 left out. */
export function replayPath({
  run,
  episode,
  time = 0,
  rematch = false,
}: Partial<Omit<ReplayQuery, "episode">> & Pick<ReplayQuery, "episode">): string {
  const params = new URLSearchParams();
  if (run) params.set("run", run);
  if (episode.by === "id") params.set("episode", `${episode.id}`);
  else if (episode.by === "step") params.set("step", `${Math.round(episode.step)}`);
  else params.set("episode", episode.by);
  if (episode.by !== "id" && episode.worker !== null) params.set("worker", `${episode.worker}`);
  const rounded = Math.round(100 * time) / 100;
  if (rounded > 0) params.set("t", `${rounded}`);
  if (rematch) params.set("with", "rematch");
  return `/replay?${params}`;
}

/** Return the page's query string with this very episode in place of a choice. */
export function nameEpisode(params: URLSearchParams, { run, id }: EpisodeKey): URLSearchParams {
  const others = [...params].filter(
    ([name]) => !["run", "episode", "step", "worker"].includes(name),
  );
  return new URLSearchParams([["run", run], ["episode", `${id}`], ...others]);
}

/** Return the URL at which the API gives the chosen episode; a list of one unless by id or step. */
export function episodeUrl(run: string, choice: EpisodeChoice): string {
  const episodes = `${API}/runs/${encodeURIComponent(run)}/episodes`;
  if (choice.by === "id") return `${episodes}/${choice.id}`;
  const worker = choice.worker === null ? "" : `&worker=${choice.worker}`;
  if (choice.by === "step")
    return `${episodes}/nearest?fleet_step=${Math.round(choice.step)}${worker}`;
  const order = choice.by === "last" ? "newest" : choice.by;
  return `${episodes}?replayable=true&order=${order}&limit=1${worker}`;
}

function resourceUrl({ run, id }: EpisodeKey, resource: string): string {
  return `${API}/runs/${encodeURIComponent(run)}/episodes/${id}/${resource}`;
}

export function replayStatusUrl(episode: EpisodeKey, side: Side): string {
  return resourceUrl(episode, side);
}

export function replayTrackUrl(episode: EpisodeKey, side: Side): string {
  return resourceUrl(episode, `${side}.json`);
}

export function replaySaliencyUrl(episode: EpisodeKey, side: Side): string {
  return resourceUrl(episode, `${side}.saliency`);
}

export function replayVideoUrl(episode: EpisodeKey, side: Side): string {
  return resourceUrl(episode, `${side}.mp4`);
}
