import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { fetchClip } from "./clip";
import { InstantReplay, type InstantReplayView } from "./instant-replay";

/** Make the instant replay of a worker's stream, for as long as the component is mounted. */
export function useInstantReplay(worker: string): InstantReplay {
  const [replay] = useState(() => new InstantReplay(worker, fetchClip));
  useEffect(() => () => replay.goLive(), [replay]);
  return replay;
}

/** Subscribe a component to what is shown. */
export function useInstantReplayView(replay: InstantReplay): InstantReplayView {
  const subscribe = useCallback((listener: () => void) => replay.subscribe(listener), [replay]);
  return useSyncExternalStore(subscribe, () => replay.view);
}
