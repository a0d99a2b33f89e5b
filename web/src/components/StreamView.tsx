import { type ReactNode, useMemo, useRef, useState } from "react";
import type { LivePlayer } from "../player/live-player";
import { Player, toggleFullscreen } from "../player/Player";
import type { PlayerState } from "../player/player-state";
import type { Audience } from "../streams/urls";
import { HeatMap } from "./SaliencyOverlay";
import { useKeys } from "./shortcuts";
import { Thoughts } from "./Thoughts";
import { Toggle } from "./ToggleButton";
import { useFlag } from "./use-query-flag";

interface ScreenProps {
  worker: string;
  /** Large, with what the policy thinks and the controls; small ones have the picture alone. */
  large: boolean;
  audience?: Audience;
  hold?: boolean;
  /** Only the picture and what the policy thinks. */
  clean?: boolean;
  onState?: (state: PlayerState) => void;
  onPlayer?: (player: LivePlayer | null) => void;
  /** More controls. */
  children?: ReactNode;
}

/** A player and everything that is laid over its picture. */
export function Screen({ worker, large, clean = false, onPlayer, children, ...rest }: ScreenProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const [state, setState] = useState<PlayerState>("waiting");
  const [thoughts, toggleThoughts] = useFlag("thoughts", true);
  const [heat, toggleHeat] = useFlag("heat", false);
  const { audience, hold, onState } = rest;

  const actions = useMemo(
    () => ({ f: () => toggleFullscreen(frame), t: toggleThoughts, h: toggleHeat }),
    [toggleThoughts, toggleHeat],
  );
  useKeys(large ? actions : NO_KEYS);

  const listening = useMemo(
    () => ({
      player: (made: LivePlayer | null) => {
        setPlayer(made);
        onPlayer?.(made);
      },
      state: (now: PlayerState) => {
        setState(now);
        onState?.(now);
      },
    }),
    [onPlayer, onState],
  );

  const moves = large && player !== null && MOVES.has(state);
  return (
    <div className="screen" data-large={large} ref={frame}>
      <Player
        worker={worker}
        attention={large && heat}
        alone={large && audience !== "broadcast" && !thoughts && !heat}
        onPlayer={listening.player}
        onState={listening.state}
        {...(audience && { audience })}
        {...(hold !== undefined && { hold })}
      />
      {moves && heat && <HeatMap player={player} />}
      {moves && thoughts && <Thoughts mind={player.mind} />}
      {large && !clean && (
        <div className="controls" role="toolbar" aria-label="Picture">
          {children}
          <Toggle name="Thoughts" hotkey="t" on={thoughts} onToggle={actions.t} />
          <Toggle name="Heat map" hotkey="h" on={heat} onToggle={actions.h} />
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

const NO_KEYS = {};
/** In the others the picture is an old one, and so is what was thought. */
const MOVES: ReadonlySet<PlayerState> = new Set(["live", "waiting"]);
