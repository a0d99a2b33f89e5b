import type { ReactNode } from "react";
import { Refused } from "../api/client";
import { useFleet } from "../api/queries";
import type { Fleet } from "../api/schema";
import { clock } from "./format";
import { Notice } from "./Notice";

/** Shows what `children` make of the fleet, or says in words why there is nothing to show yet. */
export function FleetAnswer({ children }: { children: (fleet: Fleet) => ReactNode }) {
  const { data: fleet, error, dataUpdatedAt } = useFleet();

  if (!fleet && !error) {
    return (
      <Notice title="Asking the orchestrator">
        <p>The fleet is shown as soon as it answers.</p>
      </Notice>
    );
  }
  if (!fleet) {
    return (
      <Notice title="The orchestrator does not answer" tone="warning">
        <p>
          {error instanceof Refused ? error.message : "Nothing listens where this page came from."}
        </p>
        <p>
          Start a fleet with <code>./start --mode train --workers 2</code>. This page keeps trying
          and comes back by itself.
        </p>
      </Notice>
    );
  }
  return (
    <>
      {error && (
        <Notice title="The orchestrator is gone" tone="warning">
          <p>
            Everything below is as it was at {clock(dataUpdatedAt)}. This page asks again every
            second and goes on by itself.
          </p>
        </Notice>
      )}
      <div className="answer" data-stale={error !== null}>
        {children(fleet)}
      </div>
    </>
  );
}
