import type { ReplayTrack } from "../api/schema";
import { saliencyAt } from "../replays/saliency";
import type { EpisodeKey, Side } from "../replays/urls";
import { type LoadedSaliency, useReplaySaliency } from "../replays/use-replay-saliency";
import { toSentence } from "../streams/stream-status";
import { SaliencyOverlay } from "./SaliencyOverlay";

interface ReplaySaliencyProps {
  episode: EpisodeKey;
  side: Side;
  track: ReplayTrack;
  /** Of the frame on screen, seconds. */
  time: number;
  /** Of the video. */
  aspectRatio: number;
  /** Name of the map for screen readers. */
  label: string;
}

/** Saliency overlay of a replay; a line that says so where there is none. */
export function ReplaySaliency({ track, ...props }: ReplaySaliencyProps) {
  if (track.no_saliency === null) return <LoadedOverlay {...props} />;
  return <p className="saliency-label">{toSentence(track.no_saliency)}</p>;
}

function LoadedOverlay({
  episode,
  side,
  time,
  aspectRatio,
  label,
}: Omit<ReplaySaliencyProps, "track">) {
  const loaded = useReplaySaliency(episode, side);
  const map = saliencyAt(loaded.maps, time);
  const cells = map?.cells ?? null;
  if (map === null || cells === null)
    return <p className="saliency-label">{map ? OTHER_POLICY : whyNone(loaded)}</p>;
  return (
    <SaliencyOverlay saliency={{ ...map, cells }} aspectRatio={aspectRatio} label={label}>
      Saliency map
    </SaliencyOverlay>
  );
}

const OTHER_POLICY = "No saliency map: an earlier policy chose this action.";

function whyNone({ whole, failure }: LoadedSaliency): string {
  if (failure !== null) return `No saliency map: ${failure}`;
  return whole ? "No saliency map: its checkpoint can't be used." : "Waiting for the saliency map";
}
