/** URLs of a worker's resources, all on the page's own origin. */

import { API, BASE_PATH } from "../api/base-path";

/** Names this page: its viewer counts once, however many streams it shows. */
const PAGE_ID = Math.random().toString(36).slice(2);

/** Viewers of the broadcast did not ask for this worker in particular. */
export type Audience = "dedicated" | "broadcast";

function workerUrl(worker: string, resource: string): string {
  return `${API}/worker/${encodeURIComponent(worker)}/${resource}`;
}

/** Return the URL of a file of the stream's last seconds. */
export function clipUrl(worker: string, seconds: number): string {
  return workerUrl(worker, `clip.mp4?seconds=${seconds}`);
}

/** Return the URL of the policy's thoughts in that file. */
export function clipTrackUrl(worker: string, seconds: number): string {
  return workerUrl(worker, `clip.json?seconds=${seconds}`);
}

/** Return the URL of the video of a run's best live episode, which ended at `endedAt`. */
export function highlightUrl(run: string, endedAt: number): string {
  return `${API}/runs/${encodeURIComponent(run)}/highlight.mp4?ended_at=${endedAt}`;
}

export function logUrl(worker: string, lines: number): string {
  return workerUrl(worker, `log?lines=${lines}`);
}

/**
 * Return the URL of the stream's WebSocket.
 *
 * @param saliency whether to send saliency maps, which take computing time from the worker
 */
export function socketUrl(worker: string, audience: Audience, saliency = false): string {
  const query = new URLSearchParams({ page: PAGE_ID });
  if (audience === "broadcast") query.set("audience", audience);
  if (saliency) query.set("saliency", "true");
  return workerUrl(worker, `stream?${query}`);
}

/**
 * Return the URL of the WebSocket of a tile that a page elsewhere embeds.
 *
 * @param key of the tile; null where viewers need no token
 */
export function tileSocketUrl(name: string, key: string | null): string {
  const query = new URLSearchParams({ worker: name, page: PAGE_ID });
  if (key !== null) query.set("key", key);
  return `${BASE_PATH}/embed/stream?${query}`;
}

/** Return the WHEP endpoint, which takes an SDP offer by POST. */
export function whepUrl(worker: string, audience: Audience): string {
  const query = audience === "broadcast" ? "&audience=broadcast" : "";
  return `${BASE_PATH}/whep?worker=${encodeURIComponent(worker)}${query}`;
}

/** Return the page of go2rtc's own player, where `origin` is go2rtc's. */
export function go2rtcUrl(origin: string, worker: string): string {
  return `${origin}/stream.html?src=${encodeURIComponent(worker)}`;
}

/** Return the path of the worker's page. */
export function streamPath(worker: string): string {
  return `/stream?worker=${encodeURIComponent(worker)}`;
}
