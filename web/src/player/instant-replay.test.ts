import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { makeThought } from "../testing/fixtures";
import type { Clip } from "./clip";
import { formatBehind, InstantReplay, policyAt } from "./instant-replay";

/** The part of a video element that a replay uses; its clock stands still. */
class FakeVideo extends EventTarget {
  currentTime = 0;
  duration = Number.NaN;
  playbackRate = 1;
  play = vi.fn(async () => {});

  load(duration: number): void {
    this.duration = duration;
    this.dispatchEvent(new Event("loadedmetadata"));
    this.dispatchEvent(new Event("timeupdate"));
  }
}

interface Request {
  seconds: number;
  signal: AbortSignal;
  resolve: (clip: Clip) => void;
  reject: (error: Error) => void;
}

let requests: Request[];
let video: FakeVideo;
let replay: InstantReplay;

beforeEach(() => {
  vi.useFakeTimers({
    now: 0,
    toFake: ["performance", "setInterval", "setTimeout", "clearTimeout"],
  });
  vi.stubGlobal("HTMLVideoElement", class {});
  vi.spyOn(URL, "revokeObjectURL").mockImplementation(() => {});
  vi.advanceTimersByTime(100_000);
  requests = [];
  video = new FakeVideo();
  replay = new InstantReplay(
    "omega-0",
    (_, seconds, signal) =>
      new Promise((resolve, reject) => requests.push({ seconds, signal, resolve, reject })),
  );
});

afterEach(() => {
  replay.goLive();
  vi.useRealTimers();
});

/** Answer the last request with a clip that ended `age` seconds ago. */
async function answer(duration: number, age = 0.1): Promise<void> {
  const request = requests.at(-1) as Request;
  request.resolve({
    url: `blob:${requests.length}`,
    fileName: "omega-0.mp4",
    seconds: request.seconds,
    endedAt: performance.now() - 1000 * age,
    actions: ["left", "right"],
    thoughts: [0, 1, 2].map((time) => makeThought(time, { epoch: 0 })),
  });
  await vi.advanceTimersByTimeAsync(0);
  replay.attach(video as unknown as HTMLVideoElement);
  video.load(duration);
}

test("a press shows what happened ten seconds ago, and plays on from there", async () => {
  replay.goBack();
  expect(replay.view.mode).toBe("loading");
  expect(requests.map(({ seconds }) => seconds)).toEqual([20]);
  await answer(21);
  expect(video.currentTime).toBeCloseTo(21 - 9.9);
  expect(video.play).toHaveBeenCalled();
  expect(replay.view).toMatchObject({ mode: "replay", behind: 10, slow: false });
  expect(replay.view.offset).toBeCloseTo(-9.9);
  video.currentTime += 4;
  await vi.advanceTimersByTimeAsync(4000);
  expect(replay.view.behind).toBeCloseTo(10);
});

test("further presses go back farther, into what has to be fetched", async () => {
  replay.goBack();
  await answer(21);
  replay.goBack();
  expect(requests).toHaveLength(1);
  expect(video.currentTime).toBeCloseTo(21 - 19.9);
  replay.goBack();
  replay.goBack();
  expect(requests.map(({ seconds }) => seconds)).toEqual([20, 60]);
  expect(replay.view.mode).toBe("replay");
  await answer(61);
  expect(video.currentTime).toBeCloseTo(61 - 39.9);
  expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:1");
});

test("presses that come faster than the clip ask once for all that is kept", async () => {
  for (let press = 0; press < 4; press += 1) replay.goBack();
  expect(requests.map(({ seconds }) => seconds)).toEqual([20, 60]);
  expect(requests[0]?.signal.aborted).toBe(true);
  await answer(61);
  expect(replay.view.behind).toBeCloseTo(40);
});

test("it starts at the beginning of a stream that is younger", async () => {
  replay.goBack();
  await answer(3);
  expect(video.currentTime).toBe(0);
  replay.goBack();
  await answer(3.5);
  expect(video.currentTime).toBe(0);
  replay.goBack();
  expect(requests).toHaveLength(2);
});

test("the seek bar moves within the clip", async () => {
  replay.goBack();
  await answer(21);
  replay.seek(-2);
  expect(video.currentTime).toBeCloseTo(19);
  replay.seek(0);
  expect(video.currentTime).toBe(21);
  replay.seek(-45);
  expect(requests.map(({ seconds }) => seconds)).toEqual([20, 60]);
});

test("slow motion lasts until the way back to live", async () => {
  replay.toggleSlow();
  expect(replay.view.slow).toBe(false);
  replay.goBack();
  await answer(21);
  replay.toggleSlow();
  expect(video.playbackRate).toBe(0.5);
  replay.goLive();
  expect(replay.view).toMatchObject({ mode: "live", clip: null, slow: false });
  expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:1");
  replay.goBack();
  await answer(21);
  expect(video.playbackRate).toBe(1);
});

test("at its end the live stream is back", async () => {
  replay.goBack();
  await answer(21);
  video.dispatchEvent(new Event("ended"));
  expect(replay.view.mode).toBe("live");
});

test("the end of a clip does not matter to a viewer who has gone back beyond its beginning", async () => {
  replay.goBack();
  await answer(21);
  replay.seek(-40);
  video.dispatchEvent(new Event("ended"));
  expect(replay.view.mode).toBe("replay");
  await answer(61);
  expect(video.currentTime).toBeCloseTo(61 - 40);
});

test("a clip that comes after the viewer has returned to live is dropped", async () => {
  replay.goBack();
  replay.goLive();
  await answer(21);
  expect(replay.view.mode).toBe("live");
  expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:1");
});

test("why there is no replay is said for a while", async () => {
  replay.goBack();
  requests[0]?.reject(new Error("no picture is kept"));
  await vi.advanceTimersByTimeAsync(0);
  expect(replay.view).toMatchObject({ mode: "live", problem: "no picture is kept" });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(replay.view.problem).toBeNull();
});

describe("the policy's thoughts", () => {
  const clip = {
    actions: ["left"],
    thoughts: [0, 4, 8, 16].map((time) => makeThought(time, { epoch: 0 })),
  } as unknown as Clip;

  test("are those of the frame on screen, also after a jump back", () => {
    expect(policyAt(clip, 9).thought?.time).toBe(8);
    expect(policyAt(clip, 5).thought?.time).toBe(4);
    expect(policyAt(clip, -1).thought).toBeNull();
  });

  test("of the last ten seconds are drawn as a curve", () => {
    expect(policyAt(clip, 16).recent.map(({ time }) => time)).toEqual([8, 16]);
  });
});

test("the distance to live is in whole seconds", () => {
  expect(formatBehind(11.6)).toBe("−12 s");
});
