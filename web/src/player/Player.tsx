import { useEffect, useRef } from "react";
import { toSentence } from "../streams/stream-status";
import { type Audience, socketUrl, whepUrl } from "../streams/urls";
import type { LivePlayer } from "./live-player";
import type { PlayerState } from "./player-state";
import { preferredTransport } from "./transport";
import { useLivePlayer } from "./use-live-player";
import { useStillWidth } from "./use-still-width";
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

interface PlayerProps {
  worker: string;
  audience?: Audience;
  /** URL of the stream's WebSocket, where it is not the page's. */
  socket?: string;
  /** Ask the worker for saliency maps. */
  saliency?: boolean;
  /** Prefer the transport with the least delay; set where nothing overlays the video. */
  lowLatency?: boolean;
  /** The worker is known to be without video. */
  isStandby?: boolean;
  /** Something else is shown in front of it. */
  covered?: boolean;
  /** Keep the last live frame instead of showing stills, because a cut is coming. */
  holdFrame?: boolean;
  onState?: (state: PlayerState) => void;
  onPlayer?: (player: LivePlayer | null) => void;
}

/** Live video of a worker, with its state and the reason when it isn't live. */
export function Player({
  worker,
  audience = "dedicated",
  socket,
  saliency = false,
  lowLatency = false,
  isStandby = false,
  covered = false,
  holdFrame = false,
  onState,
  onPlayer,
}: PlayerProps) {
  const root = useRef<HTMLElement>(null);
  const visible = useVisible(root);
  const webRtc = preferredTransport(location.search, lowLatency) === "webrtc";
  const stillWidth = useStillWidth(root);
  const { player, status, still } = useLivePlayer(
    root,
    `Live video of ${worker}`,
    {
      socket: socket ?? socketUrl(worker, audience, saliency),
      whep: webRtc ? whepUrl(worker, audience) : null,
      hasVideo: !isStandby,
    },
    visible,
    holdFrame ? null : stillWidth,
  );
  const { state, reason } = status;

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
      {still && <img src={still} alt={`Latest frame of ${worker}`} />}
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
