import { expect, test } from "vitest";
import { makeWorker } from "../testing/fixtures";
import { KEEP_MISSING_MS, mergeReport } from "./workers";

const [first, second] = [makeWorker(0), makeWorker(1)];

test("a worker keeps its place while it restarts", () => {
  const before = mergeReport(new Map(), [first, second], 1_000);
  const after = mergeReport(before, [second], 2_000);
  expect([...after.keys()].sort()).toEqual(["omega-0", "omega-1"]);
  expect(after.get("omega-0")).toEqual({ worker: first, seenAt: 1_000 });
});

test("the newest report wins", () => {
  const before = mergeReport(new Map(), [first], 1_000);
  const live = makeWorker(0, { stream_state: "live" });
  expect(mergeReport(before, [live], 2_000).get("omega-0")).toEqual({
    worker: live,
    seenAt: 2_000,
  });
});

test("a worker that stays missing is dropped", () => {
  const before = mergeReport(new Map(), [first, second], 1_000);
  const after = mergeReport(before, [second], 1_000 + KEEP_MISSING_MS);
  expect([...after.keys()]).toEqual(["omega-1"]);
});
