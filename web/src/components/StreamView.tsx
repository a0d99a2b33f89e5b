import { type ReactNode, type RefObject, useMemo, useRef, useState } from "react";
import type { LivePlayer } from "../player/live-player";
import { Player } from "../player/Player";
import type { PlayerState } from "../player/player-state";
import type { Audience } from "../streams/urls";
import { SaliencyOverlay } from "./SaliencyOverlay";
import { useShortcuts } from "./shortcuts";
import { Thoughts } from "./Thoughts";
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
  /** Hide the controls. */
  clean?: boolean;
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
  clean = false,
  onState,
  onPlayer,
  children,
}: StreamViewProps) {
  const root = useRef<HTMLDivElement>(null);
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const [state, setState] = useState<PlayerState>("waiting");
  const [thoughts, toggleThoughts] = useQueryFlag("thoughts", true);
  const [saliency, toggleSaliency] = useQueryFlag("saliency", false);

  const actions = useMemo(
    () => ({ f: () => toggleFullscreen(root), t: toggleThoughts, h: toggleSaliency }),
    [toggleThoughts, toggleSaliency],
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

  const showOverlays = large && player !== null && SHOWS_OVERLAYS.has(state);
  return (
    <div className="stream-view" data-large={large} ref={root}>
      <Player
        worker={worker}
        saliency={large && saliency}
        lowLatency={large && audience !== "broadcast" && !thoughts && !saliency}
        onPlayer={listeners.onPlayer}
        onState={listeners.onState}
        {...(audience && { audience })}
        {...(holdFrame !== undefined && { holdFrame })}
      />
      {showOverlays && saliency && <SaliencyOverlay player={player} />}
      {showOverlays && thoughts && <Thoughts track={player.policyTrack} />}
      {large && !clean && (
        <div className="controls" role="toolbar" aria-label="Stream controls">
          {children}
          <ToggleButton name="Thoughts" shortcut="t" on={thoughts} onToggle={actions.t} />
          <ToggleButton name="Saliency" shortcut="h" on={saliency} onToggle={actions.h} />
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

function toggleFullscreen(element: RefObject<HTMLElement | null>): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element.current?.requestFullscreen();
}
