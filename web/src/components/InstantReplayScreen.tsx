import { useCallback } from "react";
import { formatBehind, type InstantReplay } from "../player/instant-replay";
import { useInstantReplayView } from "../player/use-instant-replay";

interface InstantReplayScreenProps {
  worker: string;
  replay: InstantReplay;
}

/** The past in front of the live video, which plays on behind it. */
export function InstantReplayScreen({ worker, replay }: InstantReplayScreenProps) {
  const { mode, clip, behind, slow, problem } = useInstantReplayView(replay);
  const attach = useCallback(
    (video: HTMLVideoElement) => {
      replay.attach(video);
      return () => replay.attach(null);
    },
    [replay],
  );
  if (mode === "live")
    return (
      problem && (
        <p className="instant-replay-problem" role="alert">
          {problem}
        </p>
      )
    );
  return (
    <section
      className="instant-replay"
      data-shown={mode === "replay"}
      aria-label={`Instant replay of ${worker}`}
    >
      {clip && (
        <video
          ref={attach}
          src={clip.url}
          muted
          playsInline
          aria-label={`Video of ${worker} a moment ago`}
        />
      )}
      <p className="player-state">
        {mode === "replay" ? formatBehind(behind) : "LOADING REPLAY"}
        {slow && <span className="player-state-detail"> · ½×</span>}
      </p>
      <p className="visually-hidden" role="status">
        {mode === "replay" ? "Showing an instant replay" : "Loading the instant replay"}
      </p>
    </section>
  );
}
