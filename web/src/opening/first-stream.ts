/** The stream that a page shows first, known before any of it is drawn. */

import type { Opening, WorkerStatus } from "../api/schema";
import { featuredWorker } from "../streams/stage";
import { type Audience, socketUrl } from "../streams/urls";
import { byIndex } from "../streams/workers";

const STAGES: ReadonlySet<string> = new Set(["/", "/neural/broadcast"]);

export interface FirstStream {
  worker: WorkerStatus;
  /** URL of its WebSocket. */
  socket: string;
}

/**
 * Return the stream that the page begins with; null if there is none.
 *
 * @param path of the page, below the one that a proxy adds
 * @param now Unix time, milliseconds
 */
export function firstStream(
  { fleet, featured }: Opening,
  path: string,
  query: URLSearchParams,
  now: number,
): FirstStream | null {
  // WebRTC, which these ask for, makes a connection of its own.
  if (query.get("transport") === "webrtc" || query.get("thoughts") === "0") return null;
  const open = (id: string | null, audience: Audience): FirstStream | null => {
    const worker = id === null ? undefined : fleet.workers[id];
    if (!worker) return null;
    const saliency = query.get("saliency") === "1";
    return { worker, socket: socketUrl(worker.instance_id, audience, saliency) };
  };
  if (path === "/stream") return open(query.get("worker"), "dedicated");
  if (!STAGES.has(path)) return null;
  const pinned = open(query.get("pin"), "dedicated");
  if (pinned) return pinned;
  const worker = featuredWorker(featured, byIndex(fleet.workers), new Map(), now);
  return open(worker, "broadcast");
}
