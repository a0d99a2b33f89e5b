/** Where a worker is reached: everything goes through the page's own origin. */

export type Audience = "dedicated" | "broadcast";

export function statusAddress(worker: string): string {
  return `/api/worker/${encodeURIComponent(worker)}/status`;
}

export function snapshotAddress(worker: string): string {
  return `/api/worker/${encodeURIComponent(worker)}/snapshot.jpg`;
}

export function logAddress(worker: string, lines: number): string {
  return `/api/worker/${encodeURIComponent(worker)}/log?lines=${lines}`;
}

/**
 * @param audience a viewer of the broadcast doesn't count as one who asked for this worker
 * @param attention whether the heat map is wanted too: it costs the worker some of its time
 */
export function socketAddress(worker: string, audience: Audience, attention = false): string {
  const query = new URLSearchParams();
  if (audience === "broadcast") query.set("audience", audience);
  if (attention) query.set("attention", "true");
  const asked = query.size > 0 ? `?${query}` : "";
  return `/api/worker/${encodeURIComponent(worker)}/stream${asked}`;
}

/** Where an offer of a WebRTC connection to the worker is posted. */
export function webRtcAddress(worker: string, audience: Audience): string {
  const query = audience === "broadcast" ? "&audience=broadcast" : "";
  return `/whep?worker=${encodeURIComponent(worker)}${query}`;
}

/**
 * The same stream in go2rtc's own player.
 *
 * @param page where go2rtc's page is
 */
export function go2rtcPage(page: string, worker: string): string {
  return `${page}/stream.html?src=${encodeURIComponent(worker)}`;
}

/** The page that shows one worker. */
export function streamPage(worker: string): string {
  return `/stream?worker=${encodeURIComponent(worker)}`;
}
