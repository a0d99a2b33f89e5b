import { Broadcast } from "../components/Broadcast";
import { CurveCard } from "../components/CurveCard";
import { FleetLoader } from "../components/FleetLoader";
import { isHub } from "../streams/workers";

/** `/neural/broadcast`: the featured worker on stage, all others beside it. */
export function BroadcastPage() {
  return (
    <>
      <title>Broadcast · MetaBonk</title>
      <h1 className="visually-hidden">Broadcast</h1>
      <FleetLoader>
        {(fleet) => (
          <Broadcast fleet={fleet} arrangement="broadcast">
            {!isHub(fleet) && <CurveCard />}
          </Broadcast>
        )}
      </FleetLoader>
    </>
  );
}
