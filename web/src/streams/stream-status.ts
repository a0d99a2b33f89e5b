/** What happens next with a worker's stream, in a sentence for the viewer of its page. */

import type { Featured, StreamState, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";

/** What the stream tells its player, which is half a second ahead of what the worker reports. */
const TOLD: Partial<Record<PlayerState, StreamState>> = {
  live: "live",
  standby: "standby",
  error: "error",
};

/** Return the state of a stream that this page plays. */
export function streamState(reported: WorkerStatus, player: PlayerState): StreamState {
  return TOLD[player] ?? reported.stream_state;
}

/**
 * Describe the stream's state and what follows.
 *
 * The viewer has opened the worker's own page, which requests a session for it. The player itself
 * shows why there is no video now.
 */
export function describeStream(status: WorkerStatus, featured: Featured | undefined): string {
  const continues = status.mode === "train" ? "keeps training" : "keeps playing";
  switch (status.stream_state) {
    case "live":
      return featured?.next
        ? `Stays live while this page is open; ${featured.next} is waiting for another session.`
        : "Stays live while this page is open.";
    case "starting":
      return "The encoder is starting; the picture appears with the first keyframe.";
    case "error":
      return `${toSentence(status.stream_error ?? "the encoder failed")} Retrying automatically.`;
    case "standby":
      break;
  }
  if (!status.stream_enabled)
    return `Streaming is switched off for this fleet; the worker ${continues}.`;
  if (featured?.next === status.instance_id) {
    const when =
      featured.next_in_s === null ? "as soon as one is free" : within(featured.next_in_s);
    return `Gets the next session ${when}, because you opened this page; ${continues} until then.`;
  }
  return `Session requested; the worker ${continues} at full speed until one is free.`;
}

function within(seconds: number): string {
  return seconds < 1 ? "in a moment" : `in about ${Math.ceil(seconds)} s`;
}

/** Capitalize and punctuate a reason, which is written as part of a log line. */
export function toSentence(text: string): string {
  const punctuated = /[.!?]$/.test(text) ? text : `${text}.`;
  // A worker's name such as omega-0 stays lower case.
  if (!/^[a-z]+\s/.test(punctuated)) return punctuated;
  return punctuated.charAt(0).toUpperCase() + punctuated.slice(1);
}
