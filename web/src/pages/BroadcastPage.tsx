import { type CSSProperties, useCallback, useMemo, useRef } from "react";
import { useSearchParams } from "react-router";
import type { Fleet, WorkerStatus } from "../api/schema";
import { FleetLoader } from "../components/FleetLoader";
import { useIsFullscreen } from "../components/fullscreen";
import { HowToBroadcast } from "../components/HowToBroadcast";
import { Notice } from "../components/Notice";
import { useShortcuts } from "../components/shortcuts";
import { type Place, Tile } from "../components/Tile";
import { useStage } from "../streams/use-stage";
import { byIndex, isHub, useRecentWorkers } from "../streams/workers";

/** Workers that a number key pins. */
const NUMBERED = 9;

/** `/neural/broadcast`: the featured worker on stage, all others beside it. */
export function BroadcastPage() {
  return (
    <>
      <title>Broadcast · MetaBonk</title>
      <h1 className="visually-hidden">Broadcast</h1>
      <FleetLoader>{(fleet) => <Broadcast fleet={fleet} />}</FleetLoader>
    </>
  );
}

function Broadcast({ fleet }: { fleet: Fleet }) {
  const [query, setQuery] = useSearchParams();
  const clean = query.get("clean") === "1";
  const root = useRef<HTMLDivElement>(null);
  const fullscreen = useIsFullscreen(root);
  const pinned = query.get("pin");
  const reporting = useMemo(() => byIndex(fleet.workers), [fleet.workers]);
  const workers = useRecentWorkers(reporting);
  const { current, target, setPlayerState } = useStage(reporting, workers, pinned);

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

  if (workers.length === 0 && isHub(fleet)) return <HowToBroadcast />;
  if (workers.length === 0) {
    return (
      <Notice title="No workers yet">
        <p>The first worker appears here as soon as it has started.</p>
      </Notice>
    );
  }
  // Where only the stage is seen, the next worker loads behind the current one until it plays.
  const rendered =
    clean || fullscreen
      ? workers.filter(({ instance_id: id }) => id === current || id === target)
      : workers;
  return (
    <div className="broadcast" data-clean={clean} ref={root} style={gridRows(rendered)}>
      {rendered.map((worker) => (
        <Tile
          key={worker.instance_id}
          worker={worker}
          place={worker.instance_id === current ? "stage" : placeOf(worker)}
          pinned={worker.instance_id === pinned}
          holdFrame={target !== current}
          clean={clean}
          fullscreenRoot={root}
          pinKey={pinKeys.get(worker.instance_id) ?? null}
          onState={setPlayerState}
          onPin={(pin) => setParam("pin", pin ? worker.instance_id : null)}
        />
      ))}
    </div>
  );
}

function placeOf(worker: WorkerStatus): Place {
  return worker.stream_state === "live" ? "side" : "standby";
}

/** Set enough grid rows for the stage to span all tiles beside it. */
function gridRows(workers: readonly WorkerStatus[]): CSSProperties {
  return { "--rows": workers.length } as CSSProperties;
}
