/** What is said over the picture of a replay. */

import type { ReplayStatus } from "../api/schema";
import { toSentence } from "../streams/stream-status";
import type { Side } from "./urls";

export interface ReplayLabel {
  tone: "replay" | "waiting" | "error";
  /** In capitals, as in a live player. */
  title: string;
  /** What it means, in a sentence; null if it needs no words. */
  reason: string | null;
  /** Whether it may be tried again. */
  retry: boolean;
}

/** What is known of a video on this page. */
export interface VideoProgress {
  /** Whether a frame is on screen. */
  shown: boolean;
  /** Share of the episode that has been drawn, 0 to 1. */
  drawn: number;
  whole: boolean;
  /** Whether it waits for a picture, or for that of the video beside it. */
  waiting: boolean;
  failure: string | null;
}

const PREPARING: Record<Side, string> = {
  replay: "The episode is being repeated; the first picture comes in a moment.",
  rematch: "The newest policy plays the same seed; its picture comes in a moment.",
};

/** Describe a replay's video; a difference from what was played comes before everything. */
export function replayLabel(
  status: ReplayStatus | undefined,
  video: VideoProgress,
  side: Side,
): ReplayLabel {
  if (status?.state === "different") {
    const reason = toSentence(status.message ?? "repeated, the episode came out differently");
    return { tone: "error", title: "CAN'T BE REPEATED", reason, retry: false };
  }
  if (status?.state === "failed" || video.failure !== null) {
    const failure = status?.state === "failed" ? status.message : video.failure;
    const reason = toSentence(failure ?? "the episode could not be drawn");
    return { tone: "error", title: "NO PICTURE", reason, retry: true };
  }
  if (status?.state === "queued")
    return { tone: "waiting", title: "QUEUED", reason: queueText(status.position), retry: false };
  if (!video.shown)
    return { tone: "waiting", title: "DRAWING", reason: PREPARING[side], retry: false };
  const tone = video.waiting ? "waiting" : "replay";
  if (!video.whole) {
    const percent = Math.min(99, Math.floor(100 * video.drawn));
    return { tone, title: `REPLAY, ${percent}% DRAWN`, reason: null, retry: false };
  }
  return { tone, title: "REPLAY", reason: null, retry: false };
}

function queueText(position: number | null): string {
  if (position === null || position <= 1)
    return "Another replay is being drawn; this one comes next.";
  if (position === 2) return "Another replay is being drawn, and one more comes before this.";
  return `Another replay is being drawn, and ${position - 1} more come before this.`;
}
