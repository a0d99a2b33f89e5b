import { type CSSProperties, type ReactNode, useCallback, useMemo, useRef } from "react";
import { Link, useSearchParams } from "react-router";
import type { Fleet, WorkerStatus } from "../api/schema";
import { type Arrangement, FEW_WORKERS, rail, tilesBeside } from "../streams/arrangement";
import { overlayParts } from "../streams/overlay";
import { useStage } from "../streams/use-stage";
import { byIndex, isHub } from "../streams/workers";
import { AfterPicture } from "./AfterPicture";
import { CleanOverlay } from "./CleanOverlay";
import { formatCount } from "./format";
import { useIsFullscreen } from "./fullscreen";
import { HowToBroadcast } from "./HowToBroadcast";
import { Starting } from "./Starts";
import { useShortcuts } from "./shortcuts";
import { type Place, Tile } from "./Tile";

/** Workers that a number key pins. */
const NUMBERED = 9;
/** Width of a tile of a wall, of few workers and of many. */
const WALL_TILES = [
  { workers: 4, width: "26rem" },
  { workers: 9, width: "20rem" },
  { workers: 20, width: "14rem" },
  { workers: Number.POSITIVE_INFINITY, width: "9.5rem" },
];

/** Return whether the rail beside the stage has room for more than its tiles. */
export function hasRoomBeside(fleet: Fleet): boolean {
  const workers = Object.keys(fleet.workers).length;
  return workers > 0 && workers <= FEW_WORKERS;
}

interface BroadcastProps {
  fleet: Fleet;
  arrangement: Arrangement;
  /** A wall may do without. */
  hasStage?: boolean;
  /** Shown below the tiles where there is room. */
  children?: ReactNode;
}

/** The featured worker on stage and others around it; a viewer may pin another one. */
export function Broadcast({ fleet, arrangement, hasStage = true, children }: BroadcastProps) {
  const [query, setQuery] = useSearchParams();
  const clean = query.get("clean") === "1";
  const overlay = clean ? overlayParts(query) : null;
  const root = useRef<HTMLDivElement>(null);
  const fullscreen = useIsFullscreen(root);
  const pinned = query.get("pin");
  const workers = useMemo(() => byIndex(fleet.workers), [fleet.workers]);
  const { current, target, setPlayerState } = useStage(workers, pinned);

  const setParam = useCallback(
    (name: string, value: string | null) =>
      setQuery(
        (params) => {
          if (value === null) params.delete(name);
          else params.set(name, value);
          return params;
        },
        { replace: true },
      ),
    [setQuery],
  );
  const ids = workers.map(({ instance_id }) => instance_id).join();
  const pinKeys = useMemo(
    () => new Map(ids.split(",", NUMBERED).map((id, i) => [id, `${i + 1}`])),
    [ids],
  );
  const actions = useMemo(() => {
    const pinByNumber = [...pinKeys].map(([id, key]) => [key, () => setParam("pin", id)]);
    return {
      ...Object.fromEntries(pinByNumber),
      p: () => setParam("pin", pinned === null ? current : null),
      "0": () => setParam("pin", null),
      c: () => setParam("clean", clean ? null : "1"),
    };
  }, [pinKeys, setParam, pinned, current, clean]);
  useShortcuts(actions);

  if (workers.length === 0)
    return isHub(fleet) ? <HowToBroadcast /> : <Starting starting={fleet.starting} />;
  // Where only the stage is seen, the next worker loads behind the current one until it plays.
  const staged = workers.filter(({ instance_id: id }) => id === current || id === target);
  const others = workers.filter((worker) => !staged.includes(worker));
  const shown = tilesBeside(others.length, arrangement);
  const beside = arrangement === "home" ? others.sort(liveFirst).slice(0, shown) : others;
  const rendered = clean || fullscreen ? staged : [...staged, ...beside].sort(byWorkerIndex);
  const omitted = others.length - beside.length;
  return (
    <>
      <div
        className="broadcast"
        data-arrangement={arrangement}
        data-clean={clean}
        data-overlay={overlay?.join(" ")}
        ref={root}
        data-rail={arrangement === "wall" ? undefined : rail(rendered.length - 1, arrangement)}
        style={gridSizes(rendered.length)}
      >
        {rendered.map((worker) => (
          <Tile
            key={worker.instance_id}
            worker={worker}
            place={hasStage && worker.instance_id === current ? "stage" : placeOf(worker)}
            pinned={worker.instance_id === pinned}
            holdFrame={target !== current}
            clean={clean}
            fullscreenRoot={root}
            pinKey={pinKeys.get(worker.instance_id) ?? null}
            onState={setPlayerState}
            onPin={(pin) => setParam("pin", pin ? worker.instance_id : null)}
          />
        ))}
        {clean && (
          <CleanOverlay parts={overlay ?? []} transparent={query.get("bg") === "transparent"} />
        )}
        {children && !clean && !fullscreen && hasRoomBeside(fleet) && (
          <div className="beside">
            <AfterPicture>{children}</AfterPicture>
          </div>
        )}
      </div>
      {omitted > 0 && !clean && (
        <p className="detail">
          {formatCount(omitted)} more on the <Link to="/wall">wall</Link>.
        </p>
      )}
    </>
  );
}

function placeOf(worker: WorkerStatus): Place {
  return worker.stream_state === "live" ? "side" : "standby";
}

function byWorkerIndex(a: WorkerStatus, b: WorkerStatus): number {
  return a.worker_index - b.worker_index;
}

function liveFirst(a: WorkerStatus, b: WorkerStatus): number {
  const waits = ({ stream_state }: WorkerStatus) => Number(stream_state !== "live");
  return waits(a) - waits(b) || byWorkerIndex(a, b);
}

/** Set enough grid rows for the stage to span all tiles beside it, and the width of a wall's. */
function gridSizes(tiles: number): CSSProperties {
  const width = WALL_TILES.find(({ workers }) => tiles <= workers)?.width;
  return { "--rows": tiles, "--tile": width } as CSSProperties;
}
