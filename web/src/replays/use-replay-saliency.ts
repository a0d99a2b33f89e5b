import { useEffect, useState } from "react";
import type { ReplaySaliency } from "../api/schema";
import { readSaliency } from "./saliency";
import { type EpisodeKey, replaySaliencyUrl, type Side } from "./urls";

export interface LoadedSaliency {
  maps: readonly ReplaySaliency[];
  /** Whether no more are to come. */
  whole: boolean;
  /** Why there are no more, in a sentence; null if nothing failed. */
  failure: string | null;
}

const NOTHING: LoadedSaliency = { maps: [], whole: false, failure: null };

/** Load the saliency maps of a replay for as long as the component is mounted. */
export function useReplaySaliency(episode: EpisodeKey, side: Side): LoadedSaliency {
  const [loaded, setLoaded] = useState(NOTHING);
  const url = replaySaliencyUrl(episode, side);
  useEffect(() => {
    const stop = new AbortController();
    setLoaded(NOTHING);
    const update = (changes: Partial<LoadedSaliency>) => {
      if (!stop.signal.aborted) setLoaded((previous) => ({ ...previous, ...changes }));
    };
    readSaliency(url, stop.signal, (maps) => update({ maps })).then(
      () => update({ whole: true }),
      (error: Error) => update({ failure: error.message }),
    );
    return () => stop.abort();
  }, [url]);
  return loaded;
}
