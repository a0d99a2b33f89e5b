import { useEffect, useRef } from "react";
import { toSentence } from "../streams/stream-status";
import { type Audience, socketUrl, whepUrl } from "../streams/urls";
import { useSnapshot } from "../streams/use-snapshot";
import type { LivePlayer } from "./live-player";
import type { PlayerState } from "./player-state";
import { preferredTransport } from "./transport";
import { useLivePlayer } from "./use-live-player";
import { useVisible } from "./use-visible";

/** A word, and the rest of the label where there is room. */
const LABELS: Record<PlayerState, [string, string]> = {
  live: ["LIVE", ""],
  starting: ["STARTING", ""],
  waiting: ["WAITING", " FOR KEYFRAME"],
  standby: ["STANDBY", " — TRAINING WITHOUT A SESSION"],
  reconnecting: ["RECONNECTING", ""],
  paused: ["PAUSED", ""],
  error: ["NO PICTURE", ""],
};

/** In these states the video element is empty and the worker's snapshot takes its place. */
const NEEDS_SNAPSHOT: ReadonlySet<PlayerState> = new Set(["waiting", "standby", "error"]);

interface PlayerProps {
  worker: string;
  audience?: Audience;
  /** Ask the worker for saliency maps. */
  saliency?: boolean;
  /** Prefer the transport with the least delay; set where nothing overlays the video. */
  lowLatency?: boolean;
  /** Something else is shown in front of it. */
  covered?: boolean;
  /** Keep the last live frame instead of showing snapshots, because a cut is coming. */
  holdFrame?: boolean;
  onState?: (state: PlayerState) => void;
  onPlayer?: (player: LivePlayer | null) => void;
}

/** Live video of a worker, with its state and the reason when it isn't live. */
export function Player({
  worker,
  audience = "dedicated",
  saliency = false,
  lowLatency = false,
  covered = false,
  holdFrame = false,
  onState,
  onPlayer,
}: PlayerProps) {
  const root = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const lastFrame = useRef<HTMLCanvasElement>(null);
  const visible = useVisible(root);
  const webRtc = preferredTransport(location.search, lowLatency) === "webrtc";
  const { player, status } = useLivePlayer(
    video,
    lastFrame,
    {
      socket: socketUrl(worker, audience, saliency),
      whep: webRtc ? whepUrl(worker, audience) : null,
    },
    visible,
  );
  const { state, reason } = status;
  const snapshot = useSnapshot(
    worker,
    visible && !holdFrame && NEEDS_SNAPSHOT.has(state),
    state === "live",
  );

  useEffect(() => onState?.(state), [onState, state]);
  useEffect(() => onPlayer?.(player), [onPlayer, player]);

  return (
    <section
      className="player"
      ref={root}
      data-state={state}
      aria-label={`Stream of ${worker}`}
      inert={covered}
    >
      <canvas ref={lastFrame} />
      {snapshot && <img src={snapshot} alt={`Latest frame of ${worker}`} />}
      <video ref={video} muted autoPlay playsInline aria-label={`Live video of ${worker}`} />
      <div className="player-labels">
        <p className="player-state" role="status">
          {LABELS[state][0]}
          <span className="player-state-detail">{LABELS[state][1]}</span>
        </p>
        <p className="player-worker">{worker}</p>
        {state !== "live" && reason && <p className="player-reason">{toSentence(reason)}</p>}
      </div>
      {visible && state === "paused" && (
        <button type="button" className="player-play" onClick={() => player?.play()}>
          Play
        </button>
      )}
    </section>
  );
}
