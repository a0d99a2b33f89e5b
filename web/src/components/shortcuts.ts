/** The keyboard: which keys do what, and on which page. The help on screen is this list. */

import { useEffect } from "react";

export interface KeyHelp {
  keys: string;
  does: string;
  where: string;
}

export const KEYS: readonly KeyHelp[] = [
  { keys: "?", does: "show or hide these keys", where: "Everywhere" },
  { keys: "g", does: "go to the next page", where: "Everywhere" },
  { keys: "f", does: "full screen", where: "Broadcast, stream" },
  { keys: "t", does: "show or hide what the policy thinks", where: "Broadcast, stream" },
  { keys: "h", does: "show or hide where the network looks", where: "Broadcast, stream" },
  { keys: "1 – 9", does: "pin a worker", where: "Broadcast" },
  { keys: "p", does: "pin the shown worker, or let it go", where: "Broadcast" },
  { keys: "0", does: "follow the director again", where: "Broadcast" },
  { keys: "c", does: "only the picture, or everything", where: "Broadcast" },
  { keys: "← →", does: "the worker before, the worker after", where: "Stream" },
];

/** Runs an action when its key is pressed outside of a field; with a modifier it is the browser's. */
export function useKeys(actions: Readonly<Record<string, () => void>>): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target instanceof HTMLElement && isField(event.target)) return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [actions]);
}

/** What takes letters, or arrows, for itself. */
function isField(element: HTMLElement): boolean {
  return (
    element.isContentEditable || element.matches("input:not([type=checkbox]), textarea, select")
  );
}
