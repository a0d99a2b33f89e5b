import { type RefObject, useCallback } from "react";
import { Link } from "react-router";
import { useFeatured } from "../api/queries";
import type { Featured, WorkerStatus } from "../api/schema";
import { RETURNS } from "../learning/terms";
import type { PlayerState } from "../player/player-state";
import { streamPath } from "../streams/urls";
import { isGuest } from "../streams/workers";
import { Explained } from "./Explained";
import { formatCount, formatNumber } from "./format";
import { GuestNote, guestStats } from "./Guest";
import { type Stat, Stats } from "./Stats";
import { StreamView } from "./StreamView";
import { ToggleButton } from "./ToggleButton";
import { WatchLast } from "./WatchLast";

/** Place of a worker in the broadcast's layout. */
export type Place = "stage" | "side" | "standby";

interface TileProps {
  worker: WorkerStatus;
  place: Place;
  pinned: boolean;
  holdFrame: boolean;
  clean: boolean;
  /** The broadcast, which fills the screen rather than this tile: the director goes on. */
  fullscreenRoot: RefObject<HTMLElement | null>;
  /** Key that pins the worker; null: none does. */
  pinKey: string | null;
  onState: (worker: string, state: PlayerState) => void;
  onPin: (pin: boolean) => void;
}

/** One worker of the broadcast; its player survives a move from place to place. */
export function Tile(props: TileProps) {
  const { worker, place, pinned, holdFrame, clean, fullscreenRoot, pinKey, onState, onPin } = props;
  const id = worker.instance_id;
  const onPlayerState = useCallback((state: PlayerState) => onState(id, state), [onState, id]);
  const large = place === "stage";
  return (
    <article className="tile" data-place={place} aria-label={id}>
      <StreamView
        worker={id}
        large={large}
        clean={clean}
        fullscreenRoot={fullscreenRoot}
        hasSaliency={!isGuest(worker)}
        // A dedicated viewer makes the director give the worker a session.
        audience={pinned ? "dedicated" : "broadcast"}
        holdFrame={large && holdFrame}
        isStandby={place === "standby"}
        onState={onPlayerState}
      >
        <StageTitle worker={worker} pinned={pinned} />
        <ToggleButton
          name={pinned ? "Pinned" : "Pin"}
          shortcut="p"
          on={pinned}
          onToggle={() => onPin(!pinned)}
        />
      </StreamView>
      {!clean &&
        (large ? (
          <Stats stats={statsOf(worker)} />
        ) : (
          <Caption worker={worker} place={place} pinKey={pinKey} onPin={() => onPin(true)} />
        ))}
      {!clean && large && <GuestNote worker={worker} />}
    </article>
  );
}

function statsOf(worker: WorkerStatus): Stat[] {
  if (isGuest(worker)) return guestStats(worker);
  return [
    {
      name: "Last return",
      value: formatNumber(worker.episode_return),
      explanation: RETURNS.last,
    },
    { name: "Episode", value: formatCount(worker.episode) },
    { name: "Steps/s", value: formatNumber(worker.steps_per_s) },
    { name: "Policy", value: formatCount(worker.policy_version) },
  ];
}

function StageTitle({ worker, pinned }: { worker: WorkerStatus; pinned: boolean }) {
  const { data: featured } = useFeatured();
  return (
    <p className="stage-title">
      <Link to={streamPath(worker.instance_id)}>{worker.instance_id}</Link>
      <span>{pinned ? pinnedText(worker) : nextText(featured)}</span>
    </p>
  );
}

function pinnedText({ stream_state }: WorkerStatus): string {
  return stream_state === "live"
    ? "Pinned: stays on stage until you unpin it."
    : "Pinned: gets the next free session.";
}

function nextText(featured: Featured | undefined): string {
  if (!featured) return "";
  if (featured.next === null) return "No worker is waiting for a session.";
  if (featured.next_in_s === null) return `Next: ${featured.next}, once a session is free.`;
  return `Next: ${featured.next} in ${Math.ceil(featured.next_in_s)} s.`;
}

interface CaptionProps {
  worker: WorkerStatus;
  place: Place;
  pinKey: string | null;
  onPin: () => void;
}

function Caption({ worker, place, pinKey, onPin }: CaptionProps) {
  return (
    <p className="caption">
      <Link to={streamPath(worker.instance_id)}>{worker.instance_id}</Link>
      <span>
        <Explained explanation={RETURNS.last}>return</Explained>{" "}
        <strong>{formatNumber(worker.episode_return)}</strong>
      </span>
      <button
        type="button"
        className="button"
        aria-label={`Pin ${worker.instance_id}`}
        data-key={pinKey}
        onClick={onPin}
      >
        Pin
      </button>
      {place === "standby" && !isGuest(worker) && <WatchLast worker={worker} />}
    </p>
  );
}
