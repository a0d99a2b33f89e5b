import { expect, test } from "vitest";
import type { Featured } from "../api/schema";
import { workerStatus } from "../testing/fixtures";
import { outlook, sentence } from "./stream-status";

const queue: Featured = { live: ["omega-0"], rotate_s: 30, next: "omega-1", next_in_s: 11.2 };

test("a worker in standby whose page was opened is told when its session comes", () => {
  expect(outlook(workerStatus(1), queue)).toBe(
    "Because you opened it, it gets the next session in about 12 s; it trains on until then.",
  );
});

test("one that isn't next has been asked for", () => {
  expect(outlook(workerStatus(2), queue)).toContain("has asked for a session for it. It trains on");
  expect(outlook(workerStatus(2, { mode: "play" }), queue)).toContain("It plays on");
});

test("a reason begins with a capital, unless it begins with a name", () => {
  expect(sentence("the encoder broke")).toBe("The encoder broke.");
  expect(sentence("omega-0 has the session.")).toBe("omega-0 has the session.");
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
