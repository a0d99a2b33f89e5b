import { lazy, Suspense } from "react";
import { Navigate, useLocation } from "react-router";
import { AfterPicture } from "../components/AfterPicture";
import { Broadcast } from "../components/Broadcast";
import { CurveCard } from "../components/CurveCard";
import { FleetLoader } from "../components/FleetLoader";
import { isHub } from "../streams/workers";

// The picture comes first.
const details = () => import("../components/FleetDetails");
const FleetDetails = lazy(() => details().then((all) => ({ default: all.FleetDetails })));
const HubOverview = lazy(() => details().then((all) => ({ default: all.HubOverview })));

/**
 * `/`: the live picture; below it workers, encoder sessions, events and training progress.
 *
 * A hub has none of the latter; whoever opens its address wants to see the environments first.
 */
export function FleetPage() {
  const isFirstPage = useLocation().key === "default";
  return (
    <FleetLoader>
      {(fleet) => {
        if (isHub(fleet))
          return isFirstPage ? (
            <Navigate to="/neural/broadcast" replace />
          ) : (
            <HubOverview hub={fleet} />
          );
        return (
          <>
            <title>Fleet · MetaBonk</title>
            <h1 className="visually-hidden">Fleet</h1>
            <Broadcast fleet={fleet} arrangement="home">
              <CurveCard />
            </Broadcast>
            <AfterPicture>
              <Suspense>
                <FleetDetails fleet={fleet} />
              </Suspense>
            </AfterPicture>
          </>
        );
      }}
    </FleetLoader>
  );
}
