/** Keys of the replay player. */

import type { Shortcut } from "../components/shortcuts";

export const SPEEDS: readonly number[] = [0.5, 1, 2, 4, 8];
const SKIP_S = 5;

/** What a key asks for; times in seconds, steps of the policy. */
export type ReplayCommand =
  | { type: "toggle-play" }
  | { type: "skip"; seconds: number }
  | { type: "step"; steps: number }
  | { type: "seek"; to: "start" | "end" }
  | { type: "speed"; change: 1 | -1 };

export const REPLAY_KEYS: Readonly<Record<string, ReplayCommand>> = {
  " ": { type: "toggle-play" },
  k: { type: "toggle-play" },
  ArrowLeft: { type: "skip", seconds: -SKIP_S },
  ArrowRight: { type: "skip", seconds: SKIP_S },
  ",": { type: "step", steps: -1 },
  ".": { type: "step", steps: 1 },
  Home: { type: "seek", to: "start" },
  End: { type: "seek", to: "end" },
  "<": { type: "speed", change: -1 },
  ">": { type: "speed", change: 1 },
};

/** Keys that go on while they are held. */
export const REPEATED_KEYS: ReadonlySet<string> = new Set(["ArrowLeft", "ArrowRight", ",", "."]);

export const REPLAY_SHORTCUTS: readonly Shortcut[] = [
  { keys: "Space", action: "Play or pause", pages: "Replay" },
  { keys: "← →", action: `${SKIP_S} seconds back or on`, pages: "Replay" },
  { keys: ", .", action: "One decision back or on", pages: "Replay" },
  { keys: "< >", action: "Slower or faster", pages: "Replay" },
  { keys: "n", action: "Toggle then and now: the newest policy beside it", pages: "Replay" },
  { keys: "Home End", action: "Start or end of the episode", pages: "Replay" },
];

/** Return the next speed in the list, or the same at its end. */
export function changeSpeed(speed: number, change: 1 | -1): number {
  return SPEEDS[SPEEDS.indexOf(speed) + change] ?? speed;
}

/** ½× and 2× */
export function formatSpeed(speed: number): string {
  return `${speed === 0.5 ? "½" : speed}×`;
}
