import { useRef } from "react";
import { type Audience, socketAddress } from "../streams/addresses";
import { useSnapshot } from "../streams/use-snapshot";
import type { PlayerState } from "./machine";
import { useLivePlayer } from "./use-live-player";
import { useWatched } from "./use-watched";

const WORDS: Record<PlayerState, string> = {
  live: "LIVE",
  waiting: "WAITING FOR KEYFRAME",
  standby: "STANDBY — TRAINING WITHOUT A SESSION",
  reconnecting: "RECONNECTING",
  paused: "PAUSED",
  error: "NO PICTURE",
};

interface PlayerProps {
  worker: string;
  audience?: Audience;
}

/** A worker's live picture, and in words what is the matter when it isn't live. */
export function Player({ worker, audience = "dedicated" }: PlayerProps) {
  const frame = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const watched = useWatched(frame);
  const address = socketAddress(worker, audience);
  const { state, reason, play } = useLivePlayer(video, still, address, watched);
  const snapshot = useSnapshot(worker, watched && NEEDS_SNAPSHOT.has(state));

  return (
    <section className="player" ref={frame} data-state={state} aria-label={`Stream of ${worker}`}>
      <canvas ref={still} />
      {snapshot && <img src={snapshot} alt={`Newest frame of ${worker}`} />}
      <video ref={video} muted autoPlay playsInline aria-label={`Live picture of ${worker}`} />
      <div className="player-words">
        <p className="player-state" role="status">
          {WORDS[state]}
        </p>
        {state !== "live" && <p className="player-reason">{reason}</p>}
      </div>
      {watched && state === "paused" && (
        <button type="button" className="player-play" onClick={play}>
          Play
        </button>
      )}
      {document.fullscreenEnabled && (
        <button
          type="button"
          className="player-fullscreen"
          aria-label="Full screen"
          onClick={() => toggleFullscreen(frame.current)}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" />
          </svg>
        </button>
      )}
    </section>
  );
}

/** In these states the video element is empty, and the worker's newest picture stands in. */
const NEEDS_SNAPSHOT: ReadonlySet<PlayerState> = new Set(["waiting", "standby", "error"]);

function toggleFullscreen(element: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element?.requestFullscreen();
}
