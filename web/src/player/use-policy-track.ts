import { useCallback, useSyncExternalStore } from "react";
import type { PolicyTrack, PolicyView } from "./policy-track";

/** Subscribe a component to the track's view. */
export function usePolicyTrack(track: PolicyTrack): PolicyView {
  const subscribe = useCallback((listener: () => void) => track.subscribe(listener), [track]);
  return useSyncExternalStore(subscribe, () => track.view);
}
