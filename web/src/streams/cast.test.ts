import { describe, expect, test } from "vitest";
import { workerStatus } from "../api/examples";
import type { Featured, StreamState, WorkerStatus } from "../api/schema";
import { cutsNow, directed } from "./cast";

function workers(...states: StreamState[]): WorkerStatus[] {
  return states.map((stream_state, index) => workerStatus(index, { stream_state }));
}

function featured(live: string[], next: string | null = null): Featured {
  return { live, rotate_s: 30, next, next_in_s: next ? 12 : null };
}

describe("whom the director shows", () => {
  test("is the newest of the live ones while others wait", () => {
    const fleet = workers("live", "live", "standby");
    expect(directed(featured(["omega-1", "omega-0"], "omega-2"), fleet, 0)).toBe("omega-0");
  });

  test("is not the one whose encoder is still starting", () => {
    const fleet = workers("live", "starting", "standby");
    expect(directed(featured(["omega-0", "omega-1"], "omega-2"), fleet, 0)).toBe("omega-0");
  });

  test("takes turns by the clock where nobody waits", () => {
    const fleet = workers("live", "live");
    const all = featured(["omega-1", "omega-0"]);
    const shown = [0, 29_999, 30_000, 60_000].map((now) => directed(all, fleet, now));
    expect(shown).toEqual(["omega-0", "omega-0", "omega-1", "omega-0"]);
  });

  test("is somebody live before the director has spoken, else the first worker, else nobody", () => {
    expect(directed(undefined, workers("standby", "live"), 0)).toBe("omega-1");
    expect(directed(undefined, workers("standby", "standby"), 0)).toBe("omega-0");
    expect(directed(featured([]), [], 0)).toBeNull();
  });
});

describe("the cut", () => {
  const known = ["omega-0", "omega-1"];

  test("waits for the first picture of the next one", () => {
    expect(cutsNow("omega-1", "omega-0", false, new Set(["omega-0"]), known)).toBe(false);
    expect(cutsNow("omega-1", "omega-0", false, new Set(["omega-1"]), known)).toBe(true);
  });

  test("comes at once to a pinned worker, whatever it shows", () => {
    expect(cutsNow("omega-1", "omega-0", true, new Set(), known)).toBe(true);
  });

  test("comes at once where nobody is shown, or where the shown one is no longer there", () => {
    expect(cutsNow("omega-1", null, false, new Set(), known)).toBe(true);
    expect(cutsNow("omega-1", "omega-7", false, new Set(), known)).toBe(true);
  });

  test("isn't made from a worker to itself", () => {
    expect(cutsNow("omega-0", "omega-0", true, new Set(), known)).toBe(false);
  });
});
