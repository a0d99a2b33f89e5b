/** Keyboard shortcuts: the list shown to the viewer, and the hook that binds them. */

import { useEffect } from "react";

export interface Shortcut {
  keys: string;
  action: string;
  pages: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: "?", action: "Show or hide this list", pages: "All pages" },
  { keys: "g", action: "Go to the next page", pages: "All pages" },
  { keys: "f", action: "Toggle full screen", pages: "Broadcast, stream" },
  { keys: "t", action: "Toggle the policy's thoughts", pages: "Broadcast, stream" },
  { keys: "h", action: "Toggle the saliency overlay", pages: "Broadcast, stream" },
  { keys: "1 – 9", action: "Pin a worker", pages: "Broadcast" },
  { keys: "p", action: "Pin or unpin the worker on stage", pages: "Broadcast" },
  { keys: "0", action: "Unpin and follow the director", pages: "Broadcast" },
  { keys: "c", action: "Toggle the clean view", pages: "Broadcast" },
  { keys: "← →", action: "Previous or next worker", pages: "Stream" },
];

/** Call the action of a pressed key, except in form fields and with modifier keys. */
export function useShortcuts(actions: Readonly<Record<string, () => void>>): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target instanceof HTMLElement && isField(event.target)) return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [actions]);
}

/** Return whether the element handles letters or arrow keys itself. */
function isField(element: HTMLElement): boolean {
  return (
    element.isContentEditable || element.matches("input:not([type=checkbox]), textarea, select")
  );
}
