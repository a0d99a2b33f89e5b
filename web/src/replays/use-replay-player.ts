import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { type Playback, ReplayPlayer } from "./replay-player";

/** Run a player of `count` videos for as long as the component is mounted. */
export function useReplayPlayer(count: number, start: number): ReplayPlayer {
  const [player] = useState(() => {
    const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    return new ReplayPlayer(count, { start, playing: !reducedMotion });
  });
  useEffect(() => player.run(), [player]);
  return player;
}

/** Subscribe a component to the player's state. */
export function usePlayback(player: ReplayPlayer): Playback {
  const subscribe = useCallback((listener: () => void) => player.subscribe(listener), [player]);
  return useSyncExternalStore(subscribe, () => player.state);
}
