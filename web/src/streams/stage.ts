/** Who is large on the broadcast. Pure: no clock, no player. */

import type { Featured, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";

/**
 * Whom the director shows: the newest of those with a picture, for it stays longest.
 *
 * Where nobody waits for a session the director has nothing to change, and so the live ones take
 * turns by the clock; every viewer sees the same one. While nobody is live, whoever comes next is
 * awaited.
 *
 * @param told how the players of this page are; they know sooner than the fleet's report
 * @param now Unix time, milliseconds
 */
export function directed(
  featured: Featured | undefined,
  workers: readonly WorkerStatus[],
  told: ReadonlyMap<string, PlayerState>,
  now: number,
): string | null {
  const live = workers
    .filter((worker) => isLive(worker, told.get(worker.instance_id)))
    .map(({ instance_id }) => instance_id);
  const ready = featured?.live.filter((id) => live.includes(id)) ?? [];
  if (featured && featured.next === null && ready.length > 1 && featured.rotate_s > 0) {
    const turns = live.filter((id) => ready.includes(id));
    return turns[Math.floor(now / 1000 / featured.rotate_s) % turns.length] ?? null;
  }
  return ready.at(-1) ?? live[0] ?? featured?.next ?? workers[0]?.instance_id ?? null;
}

/** In these a player knows of no picture, whatever the fleet's last report said. */
const ELSEWHERE: ReadonlySet<PlayerState> = new Set(["standby", "error", "reconnecting"]);

function isLive({ stream_state }: WorkerStatus, told: PlayerState | undefined): boolean {
  if (told === "live") return true;
  return stream_state === "live" && !(told && ELSEWHERE.has(told));
}

/**
 * Whether the picture is cut to `wanted` now: as soon as it moves, and not before, unless there is
 * nothing to hold on to.
 */
export function cutsNow(
  wanted: string,
  shown: string | null,
  pinned: boolean,
  told: ReadonlyMap<string, PlayerState>,
  known: readonly string[],
): boolean {
  if (wanted === shown) return false;
  return pinned || told.get(wanted) === "live" || shown === null || !known.includes(shown);
}
