import type { ReactNode } from "react";
import { useFleet } from "../api/queries";
import type { Fleet } from "../api/schema";
import { ConnectionNotice, Notice } from "./Notice";

/** Renders `children` with the fleet once it is loaded; until then, or on error, a notice. */
export function FleetLoader({ children }: { children: (fleet: Fleet) => ReactNode }) {
  const { data: fleet, error, dataUpdatedAt } = useFleet();
  return (
    <>
      {!fleet && !error && (
        <Notice title="Connecting to the orchestrator">
          <p>The fleet appears here as soon as it answers.</p>
        </Notice>
      )}
      {error && <ConnectionNotice error={error} dataUpdatedAt={fleet ? dataUpdatedAt : null} />}
      {fleet && (
        <div className="loaded" data-stale={error !== null}>
          {children(fleet)}
        </div>
      )}
    </>
  );
}
