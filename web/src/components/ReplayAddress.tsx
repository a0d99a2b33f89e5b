import { useEffect } from "react";
import { useSearchParams } from "react-router";
import type { ReplayPlayer } from "../replays/replay-player";
import { usePlayback } from "../replays/use-replay-player";

/** A dragged playhead would change the address more often than browsers allow. */
const SETTLE_MS = 250;

/** Keeps the time in the page's address while the player is paused; renders nothing. */
export function ReplayAddress({ player }: { player: ReplayPlayer }) {
  const [, setParams] = useSearchParams();
  const { playing, ended, time } = usePlayback(player);
  const rounded = ended ? 0 : Math.round(100 * time) / 100;
  useEffect(() => {
    if (playing) return;
    const timer = setTimeout(
      () =>
        setParams(
          (previous) => {
            const next = new URLSearchParams(previous);
            if (rounded > 0) next.set("t", `${rounded}`);
            else next.delete("t");
            return next;
          },
          { replace: true, preventScrollReset: true },
        ),
      SETTLE_MS,
    );
    return () => clearTimeout(timer);
  }, [playing, rounded, setParams]);
  return null;
}
