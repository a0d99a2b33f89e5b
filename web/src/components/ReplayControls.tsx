import type { ReactNode } from "react";
import { formatSpeed, SPEEDS } from "../replays/keys";
import type { ReplayPlayer } from "../replays/replay-player";
import { usePlayback } from "../replays/use-replay-player";
import { formatClock } from "./format";

interface ReplayControlsProps {
  player: ReplayPlayer;
  /** Length of the episode in seconds; null until it is known. */
  duration: number | null;
  /** Additional controls. */
  children: ReactNode;
}

/** Play button, clock and speeds. */
export function ReplayControls({ player, duration, children }: ReplayControlsProps) {
  const { playing, ended, time, speed, playable } = usePlayback(player);
  return (
    <div
      className="controls replay-controls"
      role="toolbar"
      aria-label="Replay controls"
      // A button that was clicked would take the space bar from the player.
      onMouseDown={(event) => event.preventDefault()}
    >
      <button
        type="button"
        className="button replay-play"
        disabled={!playable}
        onClick={() => player.execute({ type: "toggle-play" })}
      >
        {playing && playable ? "Pause" : ended ? "Play again" : "Play"} <kbd>Space</kbd>
      </button>
      <p className="replay-clock">
        <strong>{formatClock(time)}</strong> / {formatClock(duration)}
      </p>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset can't be laid out in a row */}
      <div className="speeds" role="group" aria-label="Speed">
        {SPEEDS.map((each) => (
          <button
            key={each}
            type="button"
            className="button"
            aria-pressed={each === speed}
            onClick={() => player.setSpeed(each)}
          >
            {formatSpeed(each)}
          </button>
        ))}
      </div>
      {children}
    </div>
  );
}
