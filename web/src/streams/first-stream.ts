/** The stream that a page shows first, known before any of it is drawn. */

import type { Opening } from "../api/schema";
import { featuredWorker } from "./stage";
import { type Audience, socketUrl } from "./urls";
import { byIndex } from "./workers";

const STAGES: ReadonlySet<string> = new Set(["/", "/neural/broadcast"]);

/**
 * Return the URL of the first stream's WebSocket; null if the page begins with none.
 *
 * @param path of the page, below the one that a proxy adds
 * @param now Unix time, milliseconds
 */
export function firstStream(
  { fleet, featured }: Opening,
  path: string,
  query: URLSearchParams,
  now: number,
): string | null {
  // WebRTC, which these ask for, makes a connection of its own.
  if (query.get("transport") === "webrtc" || query.get("thoughts") === "0") return null;
  const open = (worker: string | null, audience: Audience) =>
    worker !== null && worker in fleet.workers
      ? socketUrl(worker, audience, query.get("saliency") === "1")
      : null;
  if (path === "/stream") return open(query.get("worker"), "dedicated");
  if (!STAGES.has(path)) return null;
  const pinned = open(query.get("pin"), "dedicated");
  if (pinned) return pinned;
  const worker = featuredWorker(featured, byIndex(fleet.workers), new Map(), now);
  return open(worker, "broadcast");
}
