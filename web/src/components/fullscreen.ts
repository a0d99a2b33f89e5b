import { type RefObject, useSyncExternalStore } from "react";

export function toggleFullscreen(element: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element?.requestFullscreen();
}

/** Return whether an element fills the screen. */
export function useIsFullscreen(element: RefObject<HTMLElement | null>): boolean {
  return useSyncExternalStore(
    onFullscreenChange,
    () => element.current !== null && document.fullscreenElement === element.current,
  );
}

function onFullscreenChange(listener: () => void): () => void {
  document.addEventListener("fullscreenchange", listener);
  return () => document.removeEventListener("fullscreenchange", listener);
}
