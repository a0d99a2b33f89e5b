import { useCallback, useSyncExternalStore } from "react";
import type { Mind, MindView } from "./policy-track";

/** What the policy thinks, drawn anew when it changes. */
export function useMind(mind: Mind): MindView {
  const subscribe = useCallback((listener: () => void) => mind.subscribe(listener), [mind]);
  return useSyncExternalStore(subscribe, () => mind.view);
}
