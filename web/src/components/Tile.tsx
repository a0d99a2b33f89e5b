import { useCallback } from "react";
import { Link } from "react-router";
import { useFeatured } from "../api/queries";
import type { Featured, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";
import { streamPage } from "../streams/urls";
import { count, rate } from "./format";
import { type Figure, Figures } from "./Stats";
import { Screen } from "./StreamView";
import { Toggle } from "./ToggleButton";

/** Where on the broadcast a worker is. */
export type Place = "stage" | "side" | "standby";

interface TileProps {
  worker: WorkerStatus;
  place: Place;
  pinned: boolean;
  hold: boolean;
  clean: boolean;
  tell: (worker: string, state: PlayerState) => void;
  onPin: (pin: boolean) => void;
}

/** One worker of the broadcast: its picture stays while it moves from place to place. */
export function Tile({ worker, place, pinned, hold, clean, tell, onPin }: TileProps) {
  const id = worker.instance_id;
  const onState = useCallback((state: PlayerState) => tell(id, state), [tell, id]);
  const large = place === "stage";
  return (
    <article className="tile" data-place={place} aria-label={id}>
      <Screen
        worker={id}
        large={large}
        clean={clean}
        // Whoever pins a worker asks for it in particular, and so it gets a session.
        audience={pinned ? "dedicated" : "broadcast"}
        hold={large && hold}
        onState={onState}
      >
        <Title worker={worker} pinned={pinned} />
        <Toggle
          name={pinned ? "Pinned" : "Pin"}
          hotkey="p"
          on={pinned}
          onToggle={() => onPin(!pinned)}
        />
      </Screen>
      {!clean &&
        (large ? (
          <Figures figures={figuresOf(worker)} />
        ) : (
          <Caption worker={worker} onPin={() => onPin(true)} />
        ))}
    </article>
  );
}

function figuresOf(worker: WorkerStatus): Figure[] {
  return [
    { name: "Last return", value: rate(worker.episode_return) },
    { name: "Episode", value: count(worker.episode) },
    { name: "Steps/s", value: rate(worker.steps_per_s) },
    { name: "Policy", value: count(worker.policy_version) },
  ];
}

function Title({ worker, pinned }: { worker: WorkerStatus; pinned: boolean }) {
  const { data: featured } = useFeatured();
  return (
    <p className="stage-title">
      <Link to={streamPage(worker.instance_id)}>{worker.instance_id}</Link>
      <span>{pinned ? pinnedWords(worker) : upNext(featured)}</span>
    </p>
  );
}

function pinnedWords({ stream_state }: WorkerStatus): string {
  return stream_state === "live"
    ? "Pinned: it stays until you let it go."
    : "Pinned: it gets the next session that is free.";
}

function upNext(featured: Featured | undefined): string {
  if (!featured) return "";
  if (featured.next === null) return "Nobody waits for a session.";
  if (featured.next_in_s === null) return `Next: ${featured.next}, when a session is free.`;
  return `Next: ${featured.next} in ${Math.ceil(featured.next_in_s)} s.`;
}

function Caption({ worker, onPin }: { worker: WorkerStatus; onPin: () => void }) {
  return (
    <p className="caption">
      <Link to={streamPage(worker.instance_id)}>{worker.instance_id}</Link>
      <span>
        return <strong>{rate(worker.episode_return)}</strong>
      </span>
      <button
        type="button"
        className="button"
        aria-label={`Pin ${worker.instance_id}`}
        onClick={onPin}
      >
        Pin
      </button>
    </p>
  );
}
