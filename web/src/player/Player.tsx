import { type RefObject, useEffect, useRef } from "react";
import { sentence } from "../streams/stream-status";
import { type Audience, socketAddress, webRtcAddress } from "../streams/urls";
import { useSnapshot } from "../streams/use-snapshot";
import type { LivePlayer } from "./live-player";
import type { PlayerState } from "./player-state";
import { wishedTransport } from "./transport";
import { useLivePlayer } from "./use-live-player";
import { useWatched } from "./use-visible";

/** A word, and what follows it where there is room. */
const WORDS: Record<PlayerState, [string, string]> = {
  live: ["LIVE", ""],
  waiting: ["WAITING", " FOR KEYFRAME"],
  standby: ["STANDBY", " — TRAINING WITHOUT A SESSION"],
  reconnecting: ["RECONNECTING", ""],
  paused: ["PAUSED", ""],
  error: ["NO PICTURE", ""],
};

interface PlayerProps {
  worker: string;
  audience?: Audience;
  /** Whether the worker should send where its network looks. */
  attention?: boolean;
  /** Whether nothing is laid over the picture, so that what matters is how new it is. */
  alone?: boolean;
  /** The last live picture stays instead of the worker's newest small one: a cut is coming. */
  hold?: boolean;
  onState?: (state: PlayerState) => void;
  onPlayer?: (player: LivePlayer | null) => void;
}

/** A worker's live picture, and in words what is the matter when it isn't live. */
export function Player({
  worker,
  audience = "dedicated",
  attention = false,
  alone = false,
  hold = false,
  onState,
  onPlayer,
}: PlayerProps) {
  const frame = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const watched = useWatched(frame);
  const { player, view } = useLivePlayer(
    video,
    still,
    {
      socket: socketAddress(worker, audience, attention),
      webRtc:
        wishedTransport(location.search, alone) === "webrtc"
          ? webRtcAddress(worker, audience)
          : null,
    },
    watched,
  );
  const { state, reason } = view;
  const snapshot = useSnapshot(
    worker,
    watched && !hold && NEEDS_SNAPSHOT.has(state),
    state === "live",
  );

  useEffect(() => onState?.(state), [onState, state]);
  useEffect(() => onPlayer?.(player), [onPlayer, player]);

  return (
    <section className="player" ref={frame} data-state={state} aria-label={`Stream of ${worker}`}>
      <canvas ref={still} />
      {snapshot && <img src={snapshot} alt={`Newest frame of ${worker}`} />}
      <video ref={video} muted autoPlay playsInline aria-label={`Live picture of ${worker}`} />
      <div className="player-words">
        <p className="player-state" role="status">
          {WORDS[state][0]}
          <span className="player-more">{WORDS[state][1]}</span>
        </p>
        <p className="player-worker">{worker}</p>
        {state !== "live" && reason && <p className="player-reason">{sentence(reason)}</p>}
      </div>
      {watched && state === "paused" && (
        <button type="button" className="player-play" onClick={() => player?.play()}>
          Play
        </button>
      )}
    </section>
  );
}

/** In these states the video element is empty, and the worker's newest picture stands in. */
const NEEDS_SNAPSHOT: ReadonlySet<PlayerState> = new Set(["waiting", "standby", "error"]);

/** Fills the screen with the element, or gives the screen back. */
export function toggleFullscreen(element: RefObject<HTMLElement | null>): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element.current?.requestFullscreen();
}
