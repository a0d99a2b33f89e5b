import { KEPT_S } from "../player/clip";
import { formatBehind, type InstantReplay } from "../player/instant-replay";
import { useInstantReplayView } from "../player/use-instant-replay";
import { ToggleButton } from "./ToggleButton";

/** Seek bar over what is kept, slow motion, and the way back to the live stream. */
export function InstantReplayBar({ replay }: { replay: InstantReplay }) {
  const { mode, clip, offset, behind, slow } = useInstantReplayView(replay);
  if (mode === "live") return null;
  return (
    <div className="instant-replay-bar" role="toolbar" aria-label="Instant replay">
      <input
        type="range"
        aria-label="Position in the last minute"
        aria-valuetext={`${Math.round(behind)} seconds behind live`}
        min={-KEPT_S}
        max={0}
        step={0.1}
        value={offset}
        disabled={!clip}
        onChange={({ target }) => replay.seek(target.valueAsNumber)}
      />
      <span className="instant-replay-clock" aria-hidden="true">
        {formatBehind(behind)}
      </span>
      <ToggleButton name="½×" shortcut="s" on={slow} onToggle={() => replay.toggleSlow()} />
      <button type="button" className="button instant-replay-live" onClick={() => replay.goLive()}>
        Live <kbd>l</kbd>
      </button>
    </div>
  );
}
