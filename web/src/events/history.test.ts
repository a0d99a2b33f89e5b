import { describe, expect, it } from "vitest";
import type { FleetEvent } from "../api/schema";
import { countRotations, foldRotations, isRotations, summarize } from "./history";

function event(at: number, changes: Partial<FleetEvent> = {}): FleetEvent {
  return {
    id: at,
    at,
    kind: "live",
    severity: "info",
    instance_id: "omega-0",
    message: `event ${at}`,
    ...changes,
  };
}

/** Newest first: standby and live in turn. */
function rotations(newest: number, count: number): FleetEvent[] {
  return Array.from({ length: count }, (_, i) =>
    event(newest - i, { kind: i % 2 ? "standby" : "live" }),
  );
}

const DIED = event(50, { kind: "died", severity: "warning" });

describe("foldRotations", () => {
  it("makes one entry of many rotations, and leaves others as they are", () => {
    const entries = foldRotations([...rotations(60, 10), DIED, ...rotations(49, 3)], null);
    expect(entries.map((entry) => (isRotations(entry) ? countRotations(entry) : entry.id))).toEqual(
      [5, 50, 49, 48, 47],
    );
  });

  it("never folds what is new together with what was seen", () => {
    const entries = foldRotations(rotations(60, 12), 55);
    expect(entries.map((entry) => isRotations(entry) && entry.rotations.length)).toEqual([5, 7]);
  });
});

describe("summarize", () => {
  it("counts what is new, the gravest first", () => {
    const critical = event(61, { kind: "incident", severity: "critical" });
    const started = event(52, { kind: "registered" });
    const events = [critical, ...rotations(60, 6), started, DIED, ...rotations(49, 4)];
    expect(summarize(events, 49)).toBe("1 critical, 1 warning, 3 rotations, 1 other");
  });

  it("says nothing where nothing is new, or nobody has looked before", () => {
    expect(summarize([DIED], 50)).toBeNull();
    expect(summarize([DIED], null)).toBeNull();
  });
});
