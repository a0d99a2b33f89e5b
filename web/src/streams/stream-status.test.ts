import { expect, test } from "vitest";
import type { Featured } from "../api/schema";
import { makeWorker } from "../testing/fixtures";
import { describeStream, toSentence } from "./stream-status";

const featured: Featured = { live: ["omega-0"], rotate_s: 30, next: "omega-1", next_in_s: 11.2 };

test("standby says when the next in line gets its session", () => {
  expect(describeStream(makeWorker(1), featured)).toBe(
    "Gets the next session in about 12 s, because you opened this page; keeps training until then.",
  );
});

test("standby says that a session was requested", () => {
  expect(describeStream(makeWorker(2), featured)).toBe(
    "Session requested; the worker keeps training at full speed until one is free.",
  );
  expect(describeStream(makeWorker(2, { mode: "play" }), featured)).toContain("keeps playing");
});

test("a reason starts with a capital, unless it starts with a name", () => {
  expect(toSentence("the encoder broke")).toBe("The encoder broke.");
  expect(toSentence("omega-0 has the session.")).toBe("omega-0 has the session.");
});

test("live says who is waiting", () => {
  const live = makeWorker(0, { stream_state: "live" });
  expect(describeStream(live, featured)).toContain("omega-1 is waiting");
  expect(describeStream(live, { ...featured, next: null })).toBe(
    "Stays live while this page is open.",
  );
});

test("every other state is described", () => {
  const starting = makeWorker(0, { stream_state: "starting" });
  const failed = makeWorker(0, { stream_state: "error", stream_error: "no encoder opened" });
  expect(describeStream(starting, undefined)).toContain("first keyframe");
  expect(describeStream(failed, undefined)).toBe("No encoder opened. Retrying automatically.");
  expect(describeStream(makeWorker(0, { stream_enabled: false }), undefined)).toContain(
    "switched off",
  );
});
