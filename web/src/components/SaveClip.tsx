import type { InstantReplay } from "../player/instant-replay";
import { useInstantReplayView } from "../player/use-instant-replay";
import { clipUrl } from "../streams/urls";

/** Seconds of a clip of the live stream. */
const CLIP_S = 20;

interface SaveClipProps {
  worker: string;
  replay: InstantReplay;
  /** Whether the worker is live. */
  live: boolean;
}

/** Link to a file of the last seconds, or of the instant replay on screen. */
export function SaveClip({ worker, replay, live }: SaveClipProps) {
  const { clip } = useInstantReplayView(replay);
  if (!clip && !live) return null;
  const [href, name] = clip ? [clip.url, clip.fileName] : [clipUrl(worker, CLIP_S), ""];
  return (
    <a className="button" href={href} download={name}>
      Save clip
    </a>
  );
}
