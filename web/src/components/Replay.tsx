import { type ReactNode, useCallback, useMemo, useRef } from "react";
import { useSearchParams } from "react-router";
import { BASE_PATH } from "../api/base-path";
import { useReplayTracks } from "../api/queries";
import type { Episode, ReplayTrack } from "../api/schema";
import type { ReplayPlayer } from "../replays/replay-player";
import { replayPath, type Side } from "../replays/urls";
import { useReplayKeys } from "../replays/use-replay-keys";
import { usePlayback, useReplayPlayer } from "../replays/use-replay-player";
import { toSentence } from "../streams/stream-status";
import { CopyLink } from "./CopyLink";
import { formatCount, formatNumber, formatSigned } from "./format";
import { toggleFullscreen } from "./fullscreen";
import { ReplayAddress } from "./ReplayAddress";
import { ReplayControls } from "./ReplayControls";
import { ReplayScreen } from "./ReplayScreen";
import { ReplayTimeline } from "./ReplayTimeline";
import { ToggleButton } from "./ToggleButton";
import { useQueryFlag } from "./use-query-flag";

const ALONE: readonly Side[] = ["replay"];
const THEN_AND_NOW: readonly Side[] = ["replay", "rematch"];
const NAMES: Record<Side, string> = { replay: "Then", rematch: "Now" };

interface ReplayProps {
  run: string;
  episode: Episode;
  /** Show the newest policy on the same seed beside it. */
  rematch: boolean;
  /** Where to start, seconds. */
  time: number;
  /** Title of the page. */
  children: ReactNode;
}

/** Player of an episode, or of an episode and its rematch in step. */
export function Replay({ run, episode, rematch, time, children }: ReplayProps) {
  const root = useRef<HTMLDivElement>(null);
  const sides = rematch ? THEN_AND_NOW : ALONE;
  const player = useReplayPlayer(sides.length, time);
  const [thoughts, toggleThoughts] = useQueryFlag("thoughts", true);
  const [saliency, toggleSaliency] = useQueryFlag("saliency", false);
  const toggleRematch = useToggleRematch(rematch);
  const key = useMemo(() => ({ run, id: episode.id }), [run, episode.id]);
  const tracks = useReplayTracks(key, sides);
  const keys = useMemo(
    () => ({
      f: () => toggleFullscreen(root.current),
      t: toggleThoughts,
      h: toggleSaliency,
      n: toggleRematch,
    }),
    [toggleThoughts, toggleSaliency, toggleRematch],
  );
  useReplayKeys(player, tracks[0]?.track?.times, keys);

  const address = () =>
    location.origin +
    BASE_PATH +
    replayPath({
      run,
      episode: { by: "id", id: episode.id },
      time: player.state.ended ? 0 : player.state.time,
      rematch,
    });
  return (
    <>
      <div className="page-title">
        {children}
        <div className="replay-actions">
          <ToggleButton name="Then and now" shortcut="n" on={rematch} onToggle={toggleRematch} />
          <CopyLink address={address} />
        </div>
      </div>
      <div className="replay" data-count={sides.length} ref={root}>
        {sides.map((side, i) => (
          <div key={side} className="replay-side">
            {rematch && (
              <SideTitle
                side={side}
                track={tracks[i]?.track}
                before={tracks[0]?.track?.total_reward}
              />
            )}
            <ReplayScreen
              player={player}
              index={i}
              episode={key}
              side={side}
              track={tracks[i]?.track}
              trackError={tracks[i]?.error ?? null}
              thoughts={thoughts}
              saliency={saliency}
              label={`${side} of episode ${episode.episode} of omega-${episode.worker_index}`}
            />
          </div>
        ))}
        <ReplayAddress player={player} />
        <div className="replay-bar">
          <Timeline player={player} tracks={tracks.map(({ track }) => track)} sides={sides} />
          <ReplayControls player={player} duration={longestOf(tracks.map(({ track }) => track))}>
            <ToggleButton name="Thoughts" shortcut="t" on={thoughts} onToggle={toggleThoughts} />
            <ToggleButton
              name="Saliency"
              shortcut="h"
              on={saliency}
              onToggle={toggleSaliency}
              unavailable={whyNoSaliency(tracks.map(({ track }) => track))}
            />
            {document.fullscreenEnabled && (
              <button type="button" className="button" onClick={keys.f}>
                Full screen <kbd>f</kbd>
              </button>
            )}
          </ReplayControls>
        </div>
      </div>
    </>
  );
}

function useToggleRematch(rematch: boolean): () => void {
  const [, setParams] = useSearchParams();
  return useCallback(
    () =>
      setParams(
        (previous) => {
          const next = new URLSearchParams(previous);
          next.delete("t");
          if (rematch) next.delete("with");
          else next.set("with", "rematch");
          return next;
        },
        { replace: true },
      ),
    [setParams, rematch],
  );
}

interface SideTitleProps {
  side: Side;
  track: ReplayTrack | undefined;
  /** Return of the episode then. */
  before: number | undefined;
}

function SideTitle({ side, track, before }: SideTitleProps) {
  const change = track && before !== undefined ? track.total_reward - before : null;
  return (
    <div className="side-title">
      <h2>{NAMES[side]}</h2>
      {track && (
        <p>
          return <strong>{formatNumber(track.total_reward)}</strong>
          {side === "rematch" && change !== null && (
            <span data-sign={Math.sign(change)}> {formatSigned(change)}</span>
          )}
          , policy {formatCount(track.policy_version)}
        </p>
      )}
    </div>
  );
}

interface TimelineProps {
  player: ReplayPlayer;
  tracks: readonly (ReplayTrack | undefined)[];
  sides: readonly Side[];
}

function Timeline({ player, tracks, sides }: TimelineProps) {
  const playback = usePlayback(player);
  const lanes = sides.flatMap((side, i) => {
    const track = tracks[i];
    const video = playback.sides[i];
    const available = video?.whole ? (track?.duration_s ?? 0) : (video?.available ?? 0);
    return track ? [{ name: NAMES[side], track, available }] : [];
  });
  if (lanes.length === 0) return <div className="timeline" aria-hidden="true" />;
  return <ReplayTimeline lanes={lanes} time={playback.time} onSeek={(time) => player.seek(time)} />;
}

/** Return why no side has saliency maps, in a sentence; null if one has, or may have. */
function whyNoSaliency(tracks: readonly (ReplayTrack | undefined)[]): string | null {
  const [first, ...others] = tracks.map((track) => track?.no_saliency ?? null);
  return first && others.every((reason) => reason !== null) ? toSentence(first) : null;
}

function longestOf(tracks: readonly (ReplayTrack | undefined)[]): number | null {
  const durations = tracks.flatMap((track) => (track ? [track.duration_s] : []));
  return durations.length > 0 ? Math.max(...durations) : null;
}
