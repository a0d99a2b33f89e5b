import { type CSSProperties, useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";
import type { Fleet, WorkerStatus } from "../api/schema";
import { FleetAnswer } from "../components/FleetLoader";
import { Notice } from "../components/Notice";
import { useKeys } from "../components/shortcuts";
import { type Place, Tile } from "../components/Tile";
import { useRoster } from "../streams/use-recent-workers";
import { useCast } from "../streams/use-stage";
import { byIndex } from "../streams/workers";

/** `/neural/broadcast`: whoever is live, large; those who train without a picture, small. */
export function BroadcastPage() {
  return (
    <>
      <title>Broadcast · MetaBonk</title>
      <h1 className="unseen">Broadcast</h1>
      <FleetAnswer>{(fleet) => <Broadcast fleet={fleet} />}</FleetAnswer>
    </>
  );
}

function Broadcast({ fleet }: { fleet: Fleet }) {
  const [query, setQuery] = useSearchParams();
  const clean = query.get("clean") === "1";
  const pinned = query.get("pin");
  const present = useMemo(() => byIndex(fleet.workers), [fleet.workers]);
  const workers = useRoster(present);
  const { shown, wanted, tell } = useCast(present, workers, pinned);

  const set = useCallback(
    (name: string, value: string | null) =>
      setQuery(
        (before) => {
          if (value === null) before.delete(name);
          else before.set(name, value);
          return before;
        },
        { replace: true },
      ),
    [setQuery],
  );
  const ids = workers.map(({ instance_id }) => instance_id).join();
  const actions = useMemo(() => {
    const numbered = ids.split(",").map((id, i) => [`${i + 1}`, () => set("pin", id)] as const);
    return {
      ...Object.fromEntries(numbered.slice(0, 9)),
      p: () => set("pin", pinned === null ? shown : null),
      "0": () => set("pin", null),
      c: () => set("clean", clean ? null : "1"),
    };
  }, [ids, set, pinned, shown, clean]);
  useKeys(actions);

  if (workers.length === 0) {
    return (
      <Notice title="Nobody is on stage yet">
        <p>The first worker appears here as soon as it has started.</p>
      </Notice>
    );
  }
  // Without tiles the next one waits unseen behind the shown one until its picture is there.
  const seen = clean
    ? workers.filter(({ instance_id: id }) => id === shown || id === wanted)
    : workers;
  return (
    <div className="broadcast" data-clean={clean} style={rowsFor(seen)}>
      {seen.map((worker) => (
        <Tile
          key={worker.instance_id}
          worker={worker}
          place={worker.instance_id === shown ? "stage" : placeOf(worker)}
          pinned={worker.instance_id === pinned}
          hold={wanted !== shown}
          clean={clean}
          tell={tell}
          onPin={(pin) => set("pin", pin ? worker.instance_id : null)}
        />
      ))}
    </div>
  );
}

function placeOf(worker: WorkerStatus): Place {
  return worker.stream_state === "live" ? "side" : "standby";
}

/** As many rows as the tiles beside the stage need, so that the stage can reach along all of them. */
function rowsFor(workers: readonly WorkerStatus[]): CSSProperties {
  return { "--rows": workers.length } as CSSProperties;
}
