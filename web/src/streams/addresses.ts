/** Where a worker is reached: everything goes through the page's own origin. */

export type Audience = "dedicated" | "broadcast";

export function statusAddress(worker: string): string {
  return `/api/worker/${encodeURIComponent(worker)}/status`;
}

export function snapshotAddress(worker: string): string {
  return `/api/worker/${encodeURIComponent(worker)}/snapshot.jpg`;
}

/** A viewer of the broadcast doesn't count as one who asked for this worker in particular. */
export function socketAddress(worker: string, audience: Audience): string {
  const query = audience === "broadcast" ? "?audience=broadcast" : "";
  return `/api/worker/${encodeURIComponent(worker)}/stream${query}`;
}

/** The page that shows one worker. */
export function streamPage(worker: string): string {
  return `/stream?worker=${encodeURIComponent(worker)}`;
}
