import { useCallback, useEffect, useState } from "react";
import { flushSync } from "react-dom";
import { useFeatured } from "../api/queries";
import type { WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";
import { cutsNow, directed } from "./stage";

export interface Cast {
  /** Who is large. */
  shown: string | null;
  /** Who is to be: its picture is awaited. */
  wanted: string | null;
  /** A player tells how it is. */
  tell: (worker: string, state: PlayerState) => void;
}

/**
 * Follows the director, or stays with the pinned worker; cuts softly, and never to black.
 *
 * @param present who is there
 * @param roster them, and who is being started again
 */
export function useCast(
  present: readonly WorkerStatus[],
  roster: readonly WorkerStatus[],
  pinned: string | null,
): Cast {
  const { data: featured, dataUpdatedAt } = useFeatured();
  const [shown, setShown] = useState<string | null>(null);
  const [told, setTold] = useState<ReadonlyMap<string, PlayerState>>(new Map());
  const known = roster.map(({ instance_id }) => instance_id);
  const pin = pinned !== null && known.includes(pinned) ? pinned : null;
  const wanted = pin ?? directed(featured, present, told, dataUpdatedAt);
  const cut = wanted !== null && cutsNow(wanted, shown, pin !== null, told, known);

  useEffect(() => {
    if (!cut) return;
    softly(() => setShown(wanted));
  }, [cut, wanted]);

  const tell = useCallback(
    (worker: string, state: PlayerState) => setTold((before) => new Map(before).set(worker, state)),
    [],
  );

  return { shown: shown ?? wanted, wanted, tell };
}

/** With a cross-fade where the browser has one and the viewer likes motion. */
function softly(change: () => void): void {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (calm || document.hidden || !document.startViewTransition) {
    change();
    return;
  }
  const transition = document.startViewTransition(() => flushSync(change));
  // A cross-fade that is skipped, or comes too late, leaves a cut: that is no failure.
  transition.ready.catch((error: unknown) => {
    if (!(error instanceof DOMException)) throw error;
  });
}
