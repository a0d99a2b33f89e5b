/** Lookups in the track of a replay: what the policy thought at the frame on screen. */

import type { ReplayTrack } from "../api/schema";
import { type PolicyView, RECENT_S, ROUNDING_S, type ShownThought } from "../player/policy-track";

/** Track with what is looked up again and again. */
export interface IndexedTrack {
  track: ReplayTrack;
  /** Return before each step, and after the last one: one more entry than steps. */
  returns: readonly number[];
}

export function indexTrack(track: ReplayTrack): IndexedTrack {
  const returns = [0];
  let sum = 0;
  for (const reward of track.rewards) {
    sum += reward;
    returns.push(sum);
  }
  // The rewards are rounded; the total is exact.
  returns[returns.length - 1] = track.total_reward;
  return { track, returns };
}

/** Return the index of the last step begun at `time`; 0 before the first, −1 without any. */
export function stepAt(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= time + ROUNDING_S) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, Math.min(0, times.length - 1));
}

/** Return the time at which the reward of a step is in, which is when the next step begins. */
export function rewardTime({ times, duration_s }: ReplayTrack, step: number): number {
  return times[step + 1] ?? duration_s;
}

/** Return whether the frame shown at `time` is the episode's last. */
export function isLastFrame({ duration_s, tics_per_s }: ReplayTrack, time: number): boolean {
  return time + 1.5 / tics_per_s >= duration_s;
}

/** Return what the panel shows at a step; `ended` adds the reward of the last step itself. */
export function viewAt(
  indexed: IndexedTrack,
  step: number,
  ended: boolean,
): PolicyView<ShownThought> {
  const { track } = indexed;
  const thought = step < 0 ? null : thoughtAt(indexed, step, ended && isLastStep(track, step));
  const first = thought ? stepAt(track.times, thought.time - RECENT_S) : 0;
  const recent = Array.from({ length: thought ? step - first : 0 }, (_, i) =>
    thoughtAt(indexed, first + i, false),
  );
  return {
    actions: track.actions,
    thought,
    recent: thought ? [...recent, thought] : [],
    saliency: null,
  };
}

function isLastStep({ times }: ReplayTrack, step: number): boolean {
  return step === times.length - 1;
}

/** As in a live stream, a thought comes with the reward of the step before it. */
function thoughtAt({ track, returns }: IndexedTrack, step: number, ended: boolean): ShownThought {
  return {
    time: track.times[step] ?? 0,
    action: track.chosen[step] ?? null,
    probabilities: track.probabilities[step] ?? [],
    value: track.values[step] ?? 0,
    reward: track.rewards[ended ? step : step - 1] ?? 0,
    episode_return: returns[ended ? step + 1 : step] ?? 0,
  };
}
