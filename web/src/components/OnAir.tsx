import { useAir } from "../api/queries";
import type { AirStatus } from "../api/schema";
import { formatDateTime } from "./format";

/** Whether the program goes on air, with a switch; renders nothing where nothing is configured. */
export function OnAir() {
  const { air, switchAir } = useAir();
  if (!air?.to) return null;
  const to = air.to;
  return (
    <section className="card on-air" aria-labelledby="on-air">
      <h2 id="on-air">On air</h2>
      <p>
        {describeAir(air)} <code>{to}</code>
      </p>
      {air.report?.error && <p className="detail">{air.report.error}</p>}
      <button type="button" className="button" onClick={() => switchAir(!air.wanted)}>
        {air.wanted ? "Go off air" : "Go on air"}
      </button>
    </section>
  );
}

/** Return what is going on, before the address. */
export function describeAir({ wanted, report }: AirStatus): string {
  if (!wanted) return "Off air:";
  switch (report?.state) {
    case "on_air":
      return report.on_air_since === null
        ? "On air:"
        : `On air since ${formatDateTime(1_000 * report.on_air_since)}:`;
    case "waiting":
      return "Off air, tries again in a moment:";
    default:
      return "Connecting to";
  }
}
