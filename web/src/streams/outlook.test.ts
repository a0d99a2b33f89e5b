import { expect, test } from "vitest";
import { workerStatus } from "../api/examples";
import type { Featured } from "../api/schema";
import { outlook } from "./outlook";

const queue: Featured = { live: ["omega-0"], rotate_s: 30, next: "omega-1", next_in_s: 11.2 };

test("a worker in standby whose page was opened is told when its session comes, and why not now", () => {
  const status = workerStatus(1, { stream_error: "the encoder session went to omega-0" });
  expect(outlook(status, queue)).toBe(
    "Because you opened it, it gets the next session in about 12 s; it trains on until then. " +
      "The encoder session went to omega-0.",
  );
});

test("one that isn't next has been asked for", () => {
  expect(outlook(workerStatus(2), queue)).toContain("has asked for a session for it. It trains on");
  expect(outlook(workerStatus(2, { mode: "play" }), queue)).toContain("It plays on");
});

test("a live one says who waits", () => {
  const live = workerStatus(0, { stream_state: "live" });
  expect(outlook(live, queue)).toContain("omega-1 waits");
  expect(outlook(live, { ...queue, next: null })).toBe("It stays live while this page is open.");
});

test("every other state has a sentence of its own", () => {
  const starting = workerStatus(0, { stream_state: "starting" });
  const failed = workerStatus(0, { stream_state: "error", stream_error: "no encoder opened" });
  expect(outlook(starting, undefined)).toContain("first keyframe");
  expect(outlook(failed, undefined)).toBe("No encoder opened. It is tried again by itself.");
  expect(outlook(workerStatus(0, { stream_enabled: false }), undefined)).toContain("switched off");
});
