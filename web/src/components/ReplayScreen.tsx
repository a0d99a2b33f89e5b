import { useEffect, useMemo, useRef, useState } from "react";
import { useReplayStatus } from "../api/queries";
import type { ReplayTrack } from "../api/schema";
import { replayLabel } from "../replays/replay-label";
import type { ReplayPlayer } from "../replays/replay-player";
import { indexTrack, isLastFrame, stepAt, viewAt } from "../replays/track";
import { type EpisodeKey, replayVideoUrl, type Side } from "../replays/urls";
import { usePlayback } from "../replays/use-replay-player";
import { ReplaySaliency } from "./ReplaySaliency";
import { ThoughtsPanel } from "./Thoughts";

interface ReplayScreenProps {
  player: ReplayPlayer;
  /** Number of this video in the player. */
  index: number;
  episode: EpisodeKey;
  side: Side;
  track: ReplayTrack | undefined;
  trackError: Error | null;
  thoughts: boolean;
  saliency: boolean;
  /** Name of the video for screen readers. */
  label: string;
}

/** Picture of a replay, with its state and the policy's thoughts in step. */
export function ReplayScreen({
  player,
  index,
  episode,
  side,
  track,
  trackError,
  thoughts,
  saliency,
  label,
}: ReplayScreenProps) {
  const video = useRef<HTMLVideoElement>(null);
  const [attempt, setAttempt] = useState(0);
  const { data: status, refetch: refetchStatus } = useReplayStatus(episode, side);
  const url = replayVideoUrl(episode, side);
  const { sides, waiting } = usePlayback(player);
  const playback = sides[index];
  const frame = playback?.frame ?? null;
  const different = status?.state === "different";

  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt attaches it anew
  useEffect(() => {
    if (video.current) return player.attach(index, video.current, url);
  }, [player, index, url, attempt]);
  useEffect(() => {
    if (track) player.setDuration(index, track.duration_s);
  }, [player, index, track]);
  useEffect(() => player.exclude(index, different), [player, index, different]);
  const failure = playback?.failure ?? null;
  useEffect(() => {
    if (failure !== null) void refetchStatus();
  }, [failure, refetchStatus]);

  const { videoWidth = 0, videoHeight = 0 } = video.current ?? {};
  const shownTrack = different || frame === null ? undefined : track;
  const { tone, title, reason, retry } = replayLabel(
    status,
    {
      shown: frame !== null,
      drawn: track ? (playback?.available ?? 0) / track.duration_s : 0,
      whole: playback?.whole ?? false,
      waiting,
      failure: failure ?? trackError?.message ?? null,
    },
    side,
  );
  return (
    <div className="replay-screen stream-view" data-large>
      <section className="player" data-state={tone} aria-label={label}>
        <video
          ref={video}
          muted
          playsInline
          aria-label={label}
          onClick={() => player.execute({ type: "toggle-play" })}
        />
        <div className="player-labels" role="status">
          <p className="player-state">{title}</p>
          {reason && tone === "waiting" && <p className="player-reason">{reason}</p>}
        </div>
        {reason && tone === "error" && (
          <div className="replay-error" role="alert">
            <p>{reason}</p>
            {retry && (
              <button type="button" className="button" onClick={() => setAttempt(attempt + 1)}>
                Try again
              </button>
            )}
          </div>
        )}
      </section>
      {saliency && shownTrack && (
        <ReplaySaliency
          episode={episode}
          side={side}
          track={shownTrack}
          time={frame ?? 0}
          aspectRatio={videoHeight ? videoWidth / videoHeight : 16 / 9}
          label={`Saliency map in the ${label}`}
        />
      )}
      {thoughts && shownTrack && (
        <TrackThoughts track={shownTrack} time={frame ?? 0} label={`Thoughts in the ${label}`} />
      )}
    </div>
  );
}

interface TrackThoughtsProps {
  track: ReplayTrack;
  /** Of the frame on screen, seconds. */
  time: number;
  label: string;
}

function TrackThoughts({ track, time, label }: TrackThoughtsProps) {
  const indexed = useMemo(() => indexTrack(track), [track]);
  const step = stepAt(track.times, time);
  const ended = isLastFrame(track, time);
  const view = useMemo(() => viewAt(indexed, step, ended), [indexed, step, ended]);
  return <ThoughtsPanel label={label} {...view} />;
}
