import { useCallback, useEffect, useState } from "react";
import { flushSync } from "react-dom";
import { useFeatured } from "../api/queries";
import type { WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";
import { featuredWorker, shouldCut } from "./stage";

export interface Stage {
  /** Worker on stage. */
  current: string | null;
  /** Worker to cut to as soon as its video plays; equals `current` otherwise. */
  target: string | null;
  /** Report the state of a worker's player. */
  setPlayerState: (worker: string, state: PlayerState) => void;
}

/**
 * Follow the director, or stay with the pinned worker; cross-fade between workers, never to black.
 *
 * @param workers of the fleet, also those that are restarting
 */
export function useStage(workers: readonly WorkerStatus[], pinned: string | null): Stage {
  const { data: featured, dataUpdatedAt } = useFeatured();
  const [current, setCurrent] = useState<string | null>(null);
  const [playerStates, setPlayerStates] = useState<ReadonlyMap<string, PlayerState>>(new Map());
  const known = workers.map(({ instance_id }) => instance_id);
  const pin = pinned !== null && known.includes(pinned) ? pinned : null;
  const target = pin ?? featuredWorker(featured, workers, playerStates, dataUpdatedAt);
  const cut = target !== null && shouldCut(target, current, pin !== null, playerStates, known);

  useEffect(() => {
    if (!cut) return;
    // The browser calls back a frame later: the viewer may have pinned another worker by then.
    let superseded = false;
    crossFade(() => {
      if (!superseded) setCurrent(target);
    });
    return () => {
      superseded = true;
    };
  }, [cut, target]);

  const setPlayerState = useCallback(
    (worker: string, state: PlayerState) =>
      setPlayerStates((states) => new Map(states).set(worker, state)),
    [],
  );

  return { current: current ?? target, target, setPlayerState };
}

/** Apply a change with a view transition, unless unsupported or the viewer prefers less motion. */
function crossFade(change: () => void): void {
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (reducedMotion || document.hidden || !document.startViewTransition) {
    change();
    return;
  }
  const transition = document.startViewTransition(() => flushSync(change));
  // A transition that is skipped or times out still applies the change, as a hard cut.
  transition.ready.catch((error: unknown) => {
    if (!(error instanceof DOMException)) throw error;
  });
}
