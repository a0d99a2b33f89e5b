import { expect, test } from "vitest";
import type { ReplayStatus } from "../api/schema";
import { replayLabel, type VideoProgress } from "./replay-label";

const status = (state: ReplayStatus["state"], changes: Partial<ReplayStatus> = {}) => ({
  state,
  position: null,
  message: null,
  ...changes,
});
const NOTHING: VideoProgress = {
  shown: false,
  drawn: 0,
  whole: false,
  waiting: true,
  failure: null,
};
const PLAYING = { ...NOTHING, shown: true, drawn: 0.436, waiting: false };

test("a queued replay says how many come before it", () => {
  const reason = (position: number) =>
    replayLabel(status("queued", { position }), NOTHING, "replay").reason;
  expect(reason(1)).toBe("Another replay is being drawn; this one comes next.");
  expect(reason(2)).toMatch(/and one more comes before this/);
  expect(reason(5)).toMatch(/and 4 more come before this/);
});

test("a growing replay says how far it is drawn, and is not said to be done before it is", () => {
  expect(replayLabel(status("rendering"), NOTHING, "replay").title).toBe("DRAWING");
  expect(replayLabel(status("rendering"), PLAYING, "replay")).toMatchObject({
    tone: "replay",
    title: "REPLAY, 43% DRAWN",
  });
  expect(replayLabel(status("rendering"), { ...PLAYING, drawn: 1 }, "replay").title).toMatch("99%");
  expect(replayLabel(status("whole"), { ...PLAYING, whole: true }, "replay").title).toBe("REPLAY");
  expect(replayLabel(undefined, { ...PLAYING, waiting: true }, "replay").tone).toBe("waiting");
});

test("a difference is said even while the video plays, and can't be tried again", () => {
  const message = "from decision 12 on, the game went another way";
  expect(
    replayLabel(status("different", { message }), { ...PLAYING, failure: "409" }, "replay"),
  ).toEqual({
    tone: "error",
    title: "CAN'T BE REPEATED",
    reason: "From decision 12 on, the game went another way.",
    retry: false,
  });
});

test("a failure has its sentence and can be tried again", () => {
  const failed = status("failed", { message: "no disk space is left" });
  expect(replayLabel(failed, NOTHING, "replay")).toMatchObject({
    reason: "No disk space is left.",
    retry: true,
  });
  const failure = "The connection was lost.";
  expect(replayLabel(status("none"), { ...NOTHING, failure }, "replay").reason).toBe(failure);
});
