import { useSyncExternalStore } from "react";

const QUERY = "(prefers-color-scheme: light)";

/** Return whether the system asks for light colors; style sheets follow it by themselves. */
export function useLightTheme(): boolean {
  return useSyncExternalStore(subscribe, () => window.matchMedia(QUERY).matches);
}

function subscribe(listener: () => void): () => void {
  const query = window.matchMedia(QUERY);
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}
