import { useMemo } from "react";
import { Broadcast } from "../components/Broadcast";
import { FleetLoader } from "../components/FleetLoader";
import { useShortcuts } from "../components/shortcuts";
import { ToggleButton } from "../components/ToggleButton";
import { useQueryFlag } from "../components/use-query-flag";

/** `/wall`: every worker a tile; `?stage=1` keeps the featured one large above them. */
export function WallPage() {
  const [hasStage, toggleStage] = useQueryFlag("stage", false);
  useShortcuts(useMemo(() => ({ w: toggleStage }), [toggleStage]));
  return (
    <>
      <title>Wall · MetaBonk</title>
      <div className="page-title">
        <h1>Wall</h1>
        <ToggleButton name="Stage" shortcut="w" on={hasStage} onToggle={toggleStage} />
      </div>
      <FleetLoader>
        {(fleet) => <Broadcast fleet={fleet} arrangement="wall" hasStage={hasStage} />}
      </FleetLoader>
    </>
  );
}
