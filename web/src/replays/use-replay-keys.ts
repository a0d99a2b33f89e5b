import { useMemo } from "react";
import { useShortcuts } from "../components/shortcuts";
import { REPEATED_KEYS, REPLAY_KEYS, type ReplayCommand } from "./keys";
import type { ReplayPlayer } from "./replay-player";
import { stepAt } from "./track";

/** A frame begins at its time; rounding must not show the one before. */
const INTO_FRAME_S = 0.001;
const NO_STEPS: readonly number[] = [];

/**
 * Bind the keys of the player.
 *
 * @param times of the policy's steps, seconds
 * @param others further keys of the page
 */
export function useReplayKeys(
  player: ReplayPlayer,
  times: readonly number[] = NO_STEPS,
  others: Readonly<Record<string, () => void>>,
): void {
  const actions = useMemo(() => {
    const run = (command: ReplayCommand) => {
      if (command.type !== "step") player.execute(command);
      else {
        const to = times[stepAt(times, player.state.time) + command.steps];
        player.pause();
        if (to !== undefined) player.seek(to + INTO_FRAME_S);
      }
    };
    const keys = Object.entries(REPLAY_KEYS).map(
      ([key, command]) => [key, () => run(command)] as const,
    );
    return { ...others, ...Object.fromEntries(keys) };
  }, [player, times, others]);
  useShortcuts(actions, REPEATED_KEYS);
}
