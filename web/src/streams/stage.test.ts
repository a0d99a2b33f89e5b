import { describe, expect, test } from "vitest";
import type { Featured, StreamState, WorkerStatus } from "../api/schema";
import type { PlayerState } from "../player/player-state";
import { makeWorker } from "../testing/fixtures";
import { featuredWorker, shouldCut } from "./stage";

const NO_STATES: ReadonlyMap<string, PlayerState> = new Map();

function workers(...states: StreamState[]): WorkerStatus[] {
  return states.map((stream_state, index) => makeWorker(index, { stream_state }));
}

function featured(live: string[], next: string | null = null): Featured {
  return { live, rotate_s: 30, next, next_in_s: next ? 12 : null };
}

describe("the featured worker", () => {
  test("is the live one featured last while others wait", () => {
    const fleet = workers("live", "live", "standby");
    expect(featuredWorker(featured(["omega-1", "omega-0"], "omega-2"), fleet, NO_STATES, 0)).toBe(
      "omega-0",
    );
  });

  test("is not one whose encoder is still starting", () => {
    const fleet = workers("live", "starting", "standby");
    expect(featuredWorker(featured(["omega-0", "omega-1"], "omega-2"), fleet, NO_STATES, 0)).toBe(
      "omega-0",
    );
  });

  test("is not one that this page lost its connection to", () => {
    const states = new Map<string, PlayerState>([["omega-0", "reconnecting"]]);
    const fleet = workers("live", "live", "standby");
    expect(featuredWorker(featured(["omega-1", "omega-0"], "omega-2"), fleet, states, 0)).toBe(
      "omega-1",
    );
  });

  test("may be one that plays here before the fleet reports it live", () => {
    const states = new Map<string, PlayerState>([
      ["omega-0", "standby"],
      ["omega-1", "live"],
    ]);
    const fleet = workers("live", "starting");
    expect(featuredWorker(featured(["omega-0"], "omega-1"), fleet, states, 0)).toBe("omega-1");
  });

  test("is the next in line while none is live", () => {
    const fleet = workers("standby", "standby");
    expect(featuredWorker(featured([], "omega-1"), fleet, NO_STATES, 0)).toBe("omega-1");
  });

  test("rotates by the clock while no worker waits", () => {
    const fleet = workers("live", "live");
    const all = featured(["omega-1", "omega-0"]);
    const shown = [0, 29_999, 30_000, 60_000].map((now) =>
      featuredWorker(all, fleet, NO_STATES, now),
    );
    expect(shown).toEqual(["omega-0", "omega-0", "omega-1", "omega-0"]);
  });

  test("without the director is a live worker, else the first, else none", () => {
    expect(featuredWorker(undefined, workers("standby", "live"), NO_STATES, 0)).toBe("omega-1");
    expect(featuredWorker(undefined, workers("standby", "standby"), NO_STATES, 0)).toBe("omega-0");
    expect(featuredWorker(featured([]), [], NO_STATES, 0)).toBeNull();
  });
});

describe("the cut", () => {
  const known = ["omega-0", "omega-1"];

  test("waits until the target plays", () => {
    expect(shouldCut("omega-1", "omega-0", false, new Map([["omega-0", "live"]]), known)).toBe(
      false,
    );
    expect(shouldCut("omega-1", "omega-0", false, new Map([["omega-1", "live"]]), known)).toBe(
      true,
    );
  });

  test("is immediate to a pinned worker", () => {
    expect(shouldCut("omega-1", "omega-0", true, NO_STATES, known)).toBe(true);
  });

  test("is immediate if no worker is on stage or the current one is gone", () => {
    expect(shouldCut("omega-1", null, false, NO_STATES, known)).toBe(true);
    expect(shouldCut("omega-1", "omega-7", false, NO_STATES, known)).toBe(true);
  });

  test("is not made from a worker to itself", () => {
    expect(shouldCut("omega-0", "omega-0", true, NO_STATES, known)).toBe(false);
  });
});
