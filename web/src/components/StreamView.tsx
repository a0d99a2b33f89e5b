import { type ReactNode, type RefObject, useEffect, useMemo, useRef, useState } from "react";
import type { LivePlayer } from "../player/live-player";
import { Player } from "../player/Player";
import type { PlayerState } from "../player/player-state";
import { useInstantReplay, useInstantReplayView } from "../player/use-instant-replay";
import type { Audience } from "../streams/urls";
import { toggleFullscreen } from "./fullscreen";
import { InstantReplayBar } from "./InstantReplayBar";
import { InstantReplayScreen } from "./InstantReplayScreen";
import { togglePictureInPicture } from "./picture-in-picture";
import { LiveSaliency } from "./SaliencyOverlay";
import { SaveClip } from "./SaveClip";
import { useShortcuts } from "./shortcuts";
import { Thoughts, ThoughtsPanel } from "./Thoughts";
import { ToggleButton } from "./ToggleButton";
import { useQueryFlag } from "./use-query-flag";

const NO_SHORTCUTS = {};
/** In any other state the frame on screen is old, and so are the policy's thoughts. */
const SHOWS_OVERLAYS: ReadonlySet<PlayerState> = new Set(["live", "waiting"]);

interface StreamViewProps {
  worker: string;
  /** Add overlays, shortcuts and controls; a small view has the video alone. */
  large: boolean;
  audience?: Audience;
  holdFrame?: boolean;
  isStandby?: boolean;
  /** Offer saliency maps; guests have none. */
  hasSaliency?: boolean;
  /** Hide the controls. */
  clean?: boolean;
  /** What full screen shows, where that is more than this view. */
  fullscreenRoot?: RefObject<HTMLElement | null>;
  onState?: (state: PlayerState) => void;
  onPlayer?: (player: LivePlayer | null) => void;
  /** Additional controls. */
  children?: ReactNode;
}

/** Player with its overlays and controls. */
export function StreamView({
  worker,
  large,
  audience,
  holdFrame,
  isStandby = false,
  hasSaliency = true,
  clean = false,
  fullscreenRoot,
  onState,
  onPlayer,
  children,
}: StreamViewProps) {
  const root = useRef<HTMLDivElement>(null);
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const [state, setState] = useState<PlayerState>("waiting");
  const [thoughts, toggleThoughts] = useQueryFlag("thoughts", true);
  const [wantsSaliency, toggleSaliency] = useQueryFlag("saliency", false);
  const saliency = hasSaliency && wantsSaliency;

  const instantReplay = useInstantReplay(worker);
  const { mode, policy } = useInstantReplayView(instantReplay);
  useEffect(() => {
    if (!large) instantReplay.goLive();
  }, [large, instantReplay]);

  const actions = useMemo(
    () => ({
      f: () => toggleFullscreen((fullscreenRoot ?? root).current),
      i: () => void togglePictureInPicture(root.current),
      t: toggleThoughts,
      h: toggleSaliency,
      r: () => instantReplay.goBack(),
      s: () => instantReplay.toggleSlow(),
      l: () => instantReplay.goLive(),
      Escape: () => instantReplay.goLive(),
    }),
    [fullscreenRoot, toggleThoughts, toggleSaliency, instantReplay],
  );
  useShortcuts(large ? actions : NO_SHORTCUTS);

  const listeners = useMemo(
    () => ({
      onPlayer: (created: LivePlayer | null) => {
        setPlayer(created);
        onPlayer?.(created);
      },
      onState: (current: PlayerState) => {
        setState(current);
        onState?.(current);
      },
    }),
    [onPlayer, onState],
  );

  const replaying = mode === "replay";
  const showOverlays = large && !replaying && player !== null && SHOWS_OVERLAYS.has(state);
  return (
    <div className="stream-view" data-large={large} ref={root}>
      <Player
        worker={worker}
        saliency={large && saliency}
        isStandby={isStandby}
        covered={replaying}
        lowLatency={large && audience !== "broadcast" && !thoughts && !saliency}
        onPlayer={listeners.onPlayer}
        onState={listeners.onState}
        {...(audience && { audience })}
        {...(holdFrame !== undefined && { holdFrame })}
      />
      {showOverlays && saliency && <LiveSaliency player={player} />}
      {showOverlays && thoughts && <Thoughts track={player.policyTrack} />}
      {large && <InstantReplayScreen worker={worker} replay={instantReplay} />}
      {replaying && thoughts && <ThoughtsPanel {...policy} />}
      {large && !clean && <InstantReplayBar replay={instantReplay} />}
      {large && !clean && (
        <div className="controls" role="toolbar" aria-label="Stream controls">
          {children}
          <ToggleButton name="Thoughts" shortcut="t" on={thoughts} onToggle={actions.t} />
          {hasSaliency && (
            <ToggleButton name="Saliency" shortcut="h" on={saliency} onToggle={actions.h} />
          )}
          <button type="button" className="button" onClick={actions.r}>
            Back 10 s <kbd>r</kbd>
          </button>
          <SaveClip worker={worker} replay={instantReplay} live={state === "live"} />
          {document.pictureInPictureEnabled && (
            <button type="button" className="button" onClick={actions.i}>
              In a window <kbd>i</kbd>
            </button>
          )}
          {document.fullscreenEnabled && (
            <button type="button" className="button" onClick={actions.f}>
              Full screen <kbd>f</kbd>
            </button>
          )}
        </div>
      )}
    </div>
  );
}
