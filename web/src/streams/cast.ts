/** Who is large on the broadcast. Pure: no clock, no player. */

import type { Featured, WorkerStatus } from "../api/schema";

/**
 * Whom the director shows: the newest of those with a picture, for it stays longest.
 *
 * Where nobody waits for a session the director has nothing to change, and so the live ones take
 * turns by the clock; every viewer sees the same one.
 *
 * @param now Unix time, milliseconds
 */
export function directed(
  featured: Featured | undefined,
  workers: readonly WorkerStatus[],
  now: number,
): string | null {
  const live = workers.filter(({ stream_state }) => stream_state === "live");
  const ids = live.map(({ instance_id }) => instance_id);
  const ready = featured?.live.filter((id) => ids.includes(id)) ?? [];
  if (featured && featured.next === null && ready.length > 1 && featured.rotate_s > 0) {
    const turns = ids.filter((id) => ready.includes(id));
    return turns[Math.floor(now / 1000 / featured.rotate_s) % turns.length] ?? null;
  }
  return ready.at(-1) ?? ids[0] ?? workers[0]?.instance_id ?? null;
}

/**
 * Whether the picture is cut to `wanted` now: as soon as it moves, and not before, unless there is
 * nothing to hold on to.
 */
export function cutsNow(
  wanted: string,
  shown: string | null,
  pinned: boolean,
  moving: ReadonlySet<string>,
  known: readonly string[],
): boolean {
  if (wanted === shown) return false;
  return pinned || moving.has(wanted) || shown === null || !known.includes(shown);
}
