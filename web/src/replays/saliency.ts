/** Saliency maps of a replay: JSON lines that may still grow, looked up by the frame on screen. */

import { ApiError, errorMessage, NetworkError } from "../api/client";
import type { ReplaySaliency } from "../api/schema";
import { ROUNDING_S } from "../player/policy-track";

/**
 * Read the maps as they are made.
 *
 * @param onMaps called with all maps so far, whenever there are more
 * @throws NetworkError if the connection is lost, ApiError if there is no replay
 */
export async function readSaliency(
  url: string,
  signal: AbortSignal,
  onMaps: (maps: readonly ReplaySaliency[]) => void,
): Promise<void> {
  let maps: readonly ReplaySaliency[] = [];
  let pending = "";
  try {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new ApiError(response.status, await errorMessage(response));
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value = "", done = true } = (await reader?.read()) ?? {};
      if (done) return;
      const lines = (pending + value).split("\n");
      pending = lines.pop() ?? "";
      if (lines.length === 0) continue;
      maps = [...maps, ...lines.map((line) => JSON.parse(line) as ReplaySaliency)];
      onMaps(maps);
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof TypeError)) throw error;
    throw new NetworkError("The connection to the orchestrator was lost.");
  }
}

/** Return the map that belongs to the frame shown at `time`; null before the first. */
export function saliencyAt(maps: readonly ReplaySaliency[], time: number): ReplaySaliency | null {
  return maps.findLast((map) => map.time <= time + ROUNDING_S) ?? null;
}
