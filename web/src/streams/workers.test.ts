import { expect, test } from "vitest";
import { workerStatus } from "../testing/fixtures";
import { MISSED_FOR, remember } from "./recent-workers";

const [first, second] = [workerStatus(0), workerStatus(1)];

test("who has died keeps its place while it is started again", () => {
  const before = remember(new Map(), [first, second], 1_000);
  const after = remember(before, [second], 2_000);
  expect([...after.keys()].sort()).toEqual(["omega-0", "omega-1"]);
  expect(after.get("omega-0")).toEqual({ worker: first, at: 1_000 });
});

test("the newest report counts", () => {
  const before = remember(new Map(), [first], 1_000);
  const live = workerStatus(0, { stream_state: "live" });
  expect(remember(before, [live], 2_000).get("omega-0")).toEqual({ worker: live, at: 2_000 });
});

test("who stays away is forgotten", () => {
  const before = remember(new Map(), [first, second], 1_000);
  const after = remember(before, [second], 1_000 + MISSED_FOR);
  expect([...after.keys()]).toEqual(["omega-1"]);
});
