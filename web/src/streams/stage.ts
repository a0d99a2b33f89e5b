/** Which worker is on stage in the broadcast. */

import type { Featured, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";

/**
 * Return the worker that belongs on stage: the live one that was featured last, as it stays longest.
 *
 * While no worker waits for a session the director does not rotate, so the live workers take turns
 * by the clock, the same for every viewer. While none is live, the next in line is chosen.
 *
 * @param playerStates of this page's players, which are ahead of the fleet's report
 * @param now Unix time, milliseconds
 */
export function featuredWorker(
  featured: Featured | undefined,
  workers: readonly WorkerStatus[],
  playerStates: ReadonlyMap<string, PlayerState>,
  now: number,
): string | null {
  const live = workers
    .filter((worker) => isLive(worker, playerStates.get(worker.instance_id)))
    .map(({ instance_id }) => instance_id);
  const ready = featured?.live.filter((id) => live.includes(id)) ?? [];
  if (featured && featured.next === null && ready.length > 1 && featured.rotate_s > 0) {
    const rotation = live.filter((id) => ready.includes(id));
    return rotation[Math.floor(now / 1000 / featured.rotate_s) % rotation.length] ?? null;
  }
  return ready.at(-1) ?? live[0] ?? featured?.next ?? workers[0]?.instance_id ?? null;
}

/** Player states that rule out live video, whatever the fleet last reported. */
const NOT_LIVE: ReadonlySet<PlayerState> = new Set([
  "starting",
  "standby",
  "error",
  "reconnecting",
]);

function isLive({ stream_state }: WorkerStatus, playerState: PlayerState | undefined): boolean {
  if (playerState === "live") return true;
  return stream_state === "live" && !(playerState && NOT_LIVE.has(playerState));
}

/**
 * Return whether to cut to `target` now: once its video plays, or at once if it is pinned or no
 * known worker is on stage.
 */
export function shouldCut(
  target: string,
  current: string | null,
  pinned: boolean,
  playerStates: ReadonlyMap<string, PlayerState>,
  known: readonly string[],
): boolean {
  if (target === current) return false;
  return (
    pinned || playerStates.get(target) === "live" || current === null || !known.includes(current)
  );
}
