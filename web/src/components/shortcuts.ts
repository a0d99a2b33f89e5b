/** Keyboard shortcuts: the list shown to the viewer, and the hook that binds them. */

import { useEffect } from "react";
import { REPLAY_SHORTCUTS } from "../replays/keys";

export interface Shortcut {
  keys: string;
  action: string;
  pages: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: "?", action: "Show or hide this list", pages: "All pages" },
  { keys: "g", action: "Go to the next page", pages: "All pages" },
  { keys: "f", action: "Toggle full screen", pages: "Live, stream, replay" },
  { keys: "i", action: "Toggle picture in picture", pages: "Live, stream" },
  { keys: "t", action: "Toggle the policy's thoughts", pages: "Live, stream, replay" },
  { keys: "h", action: "Toggle the saliency overlay", pages: "Live, stream, replay" },
  { keys: "r", action: "Instant replay: 10 seconds back, and 10 more", pages: "Live, stream" },
  { keys: "s", action: "Toggle slow motion of the instant replay", pages: "Live, stream" },
  { keys: "l Esc", action: "Return to live", pages: "Live, stream" },
  { keys: "1 – 9", action: "Pin a worker", pages: "Live" },
  { keys: "p", action: "Pin or unpin the worker on stage", pages: "Live" },
  { keys: "0", action: "Unpin and follow the director", pages: "Live" },
  { keys: "c", action: "Toggle the clean view", pages: "Live" },
  { keys: "w", action: "Toggle the stage", pages: "Wall" },
  { keys: "← →", action: "Previous or next worker", pages: "Stream" },
  ...REPLAY_SHORTCUTS,
];

const NO_KEYS: ReadonlySet<string> = new Set();
/** It closes the dialog too. */
const OPENS_DIALOG: ReadonlySet<string> = new Set(["?"]);

/**
 * Call the action of a pressed key, except in form fields, behind a dialog and with modifier keys.
 *
 * @param repeated keys whose action is called again and again while they are held
 */
export function useShortcuts(
  actions: Readonly<Record<string, () => void>>,
  repeated: ReadonlySet<string> = NO_KEYS,
): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.repeat && !repeated.has(event.key)) return;
      if (!OPENS_DIALOG.has(event.key) && document.querySelector("dialog[open]")) return;
      if (event.target instanceof HTMLElement && handles(event.target, event.key)) return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [actions, repeated]);
}

const MOVES = /^(Arrow|Page|Home$|End$)/;

/** Return whether the element handles the key itself: a field, a slider, or something to scroll. */
function handles(element: HTMLElement, key: string): boolean {
  const fields = "input:not([type=checkbox], [type=range]), textarea, select";
  const pressedBySpace = "button, input, summary";
  if (MOVES.test(key) && element.matches("input[type=range], section[tabindex]")) return true;
  return (
    element.isContentEditable ||
    element.matches(key === " " ? `${fields}, ${pressedBySpace}` : fields)
  );
}
