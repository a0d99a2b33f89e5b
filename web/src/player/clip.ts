/** Clips: the last seconds of a worker's stream as a file, with what the policy thought in them. */

import { ApiError, errorMessage, NetworkError } from "../api/client";
import type { ClipTrack, ThoughtMessage } from "../api/schema";
import { clipTrackUrl, clipUrl } from "../streams/urls";

/** Seconds that a worker keeps of its stream. */
export const KEPT_S = 60;
const TIMEOUT_MS = 30_000;

export interface Clip {
  /** Object URL of the file; whoever gets the clip revokes it. */
  url: string;
  fileName: string;
  /** Wanted length in seconds; a young stream has less. */
  seconds: number;
  /** `performance.now()` when the last frame was captured. */
  endedAt: number;
  actions: readonly string[];
  /** In order; times are on the clip's clock. */
  thoughts: readonly ThoughtMessage[];
}

export type FetchClip = (worker: string, seconds: number, signal: AbortSignal) => Promise<Clip>;

/**
 * Fetch the last seconds of a stream.
 *
 * @throws NetworkError without a response, ApiError if nothing is kept
 */
export const fetchClip: FetchClip = async (worker, seconds, signal) => {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const [video, track] = await Promise.all([
      fetchVideo(clipUrl(worker, seconds), bounded),
      // The video is worth showing without them.
      fetchTrack(clipTrackUrl(worker, seconds), bounded).catch(() => null),
    ]);
    const { blob, beginsAt, ...clip } = video;
    signal.throwIfAborted();
    return {
      ...clip,
      seconds,
      url: URL.createObjectURL(blob),
      actions: track?.actions ?? [],
      thoughts: track ? onClock(track, beginsAt) : [],
    };
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    throw new NetworkError(`${worker} does not answer.`);
  }
};

async function fetchVideo(url: string, signal: AbortSignal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new ApiError(response.status, await errorMessage(response));
  const endedAt = performance.now() - 1000 * headerNumber(response, "X-Clip-Age");
  return {
    endedAt,
    beginsAt: headerNumber(response, "X-Clip-Begins-At"),
    fileName: fileName(response.headers.get("Content-Disposition")),
    blob: await response.blob(),
  };
}

async function fetchTrack(url: string, signal: AbortSignal): Promise<ClipTrack> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new ApiError(response.status, await errorMessage(response));
  return (await response.json()) as ClipTrack;
}

function headerNumber({ headers }: Response, name: string): number {
  return Number(headers.get(name) ?? 0);
}

/** Return the thoughts on the clock of a clip that begins at `beginsAt`. */
export function onClock({ thoughts, begins_at }: ClipTrack, beginsAt: number): ThoughtMessage[] {
  const shift = begins_at - beginsAt;
  return thoughts.map((thought) => ({ ...thought, time: thought.time + shift }));
}

/** Return the file name in a `Content-Disposition` header. */
export function fileName(disposition: string | null): string {
  return disposition?.match(/filename="([^"]+)"/)?.[1] ?? "clip.mp4";
}
