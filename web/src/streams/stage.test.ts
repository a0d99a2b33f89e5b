import { describe, expect, test } from "vitest";
import type { Featured, StreamState, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";
import { workerStatus } from "../testing/fixtures";
import { cutsNow, directed } from "./stage";

const NOTHING: ReadonlyMap<string, PlayerState> = new Map();

function workers(...states: StreamState[]): WorkerStatus[] {
  return states.map((stream_state, index) => workerStatus(index, { stream_state }));
}

function featured(live: string[], next: string | null = null): Featured {
  return { live, rotate_s: 30, next, next_in_s: next ? 12 : null };
}

describe("whom the director shows", () => {
  test("is the newest of the live ones while others wait", () => {
    const fleet = workers("live", "live", "standby");
    expect(directed(featured(["omega-1", "omega-0"], "omega-2"), fleet, NOTHING, 0)).toBe(
      "omega-0",
    );
  });

  test("is not the one whose encoder is still starting", () => {
    const fleet = workers("live", "starting", "standby");
    expect(directed(featured(["omega-0", "omega-1"], "omega-2"), fleet, NOTHING, 0)).toBe(
      "omega-0",
    );
  });

  test("is not one whose connection this page has lost, before the fleet's report says so", () => {
    const told = new Map<string, PlayerState>([["omega-0", "reconnecting"]]);
    const fleet = workers("live", "live", "standby");
    expect(directed(featured(["omega-1", "omega-0"], "omega-2"), fleet, told, 0)).toBe("omega-1");
  });

  test("is whose picture this page already has, before the fleet's report says so", () => {
    const told = new Map<string, PlayerState>([
      ["omega-0", "standby"],
      ["omega-1", "live"],
    ]);
    const fleet = workers("live", "starting");
    expect(directed(featured(["omega-0"], "omega-1"), fleet, told, 0)).toBe("omega-1");
  });

  test("is awaited where nobody is live in a hand-over", () => {
    const fleet = workers("standby", "standby");
    expect(directed(featured([], "omega-1"), fleet, NOTHING, 0)).toBe("omega-1");
  });

  test("takes turns by the clock where nobody waits", () => {
    const fleet = workers("live", "live");
    const all = featured(["omega-1", "omega-0"]);
    const shown = [0, 29_999, 30_000, 60_000].map((now) => directed(all, fleet, NOTHING, now));
    expect(shown).toEqual(["omega-0", "omega-0", "omega-1", "omega-0"]);
  });

  test("is somebody live before the director has spoken, else the first worker, else nobody", () => {
    expect(directed(undefined, workers("standby", "live"), NOTHING, 0)).toBe("omega-1");
    expect(directed(undefined, workers("standby", "standby"), NOTHING, 0)).toBe("omega-0");
    expect(directed(featured([]), [], NOTHING, 0)).toBeNull();
  });
});

describe("the cut", () => {
  const known = ["omega-0", "omega-1"];

  test("waits for the first picture of the next one", () => {
    expect(cutsNow("omega-1", "omega-0", false, new Map([["omega-0", "live"]]), known)).toBe(false);
    expect(cutsNow("omega-1", "omega-0", false, new Map([["omega-1", "live"]]), known)).toBe(true);
  });

  test("comes at once to a pinned worker, whatever it shows", () => {
    expect(cutsNow("omega-1", "omega-0", true, NOTHING, known)).toBe(true);
  });

  test("comes at once where nobody is shown, or where the shown one is no longer there", () => {
    expect(cutsNow("omega-1", null, false, NOTHING, known)).toBe(true);
    expect(cutsNow("omega-1", "omega-7", false, NOTHING, known)).toBe(true);
  });

  test("isn't made from a worker to itself", () => {
    expect(cutsNow("omega-0", "omega-0", true, NOTHING, known)).toBe(false);
  });
});
