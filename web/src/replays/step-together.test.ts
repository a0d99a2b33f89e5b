import { describe, expect, test } from "vitest";
import { leaderOf, stepTogether, TOLERANCE_S, type VideoState } from "./step-together";

const video = (changes: Partial<VideoState>): VideoState => ({
  time: 1,
  duration: 10,
  ready: true,
  seeking: false,
  ...changes,
});
const WANTED = { playing: true, speed: 1 };

test("the longest video leads", () => {
  expect(leaderOf([3, 9, 5])).toBe(1);
});

describe("one video", () => {
  test("plays while it has pictures", () => {
    expect(stepTogether([video({})], WANTED).videos).toEqual([{ play: true, seekTo: null }]);
    const waiting = stepTogether([video({ ready: false })], WANTED);
    expect(waiting).toMatchObject({ waiting: true, videos: [{ play: false }] });
  });

  test("rests when that is wanted", () => {
    const { videos } = stepTogether([video({})], { playing: false, speed: 1 });
    expect(videos[0]?.play).toBe(false);
  });

  test("has ended at its end, and waits for nothing more", () => {
    const ended = stepTogether([video({ time: 10, ready: false })], WANTED);
    expect(ended).toMatchObject({ ended: true, waiting: false, videos: [{ play: false }] });
  });
});

describe("two videos", () => {
  test("wait for each other", () => {
    const { videos, waiting } = stepTogether([video({}), video({ ready: false })], WANTED);
    expect(videos.map(({ play }) => play)).toEqual([false, false]);
    expect(waiting).toBe(true);
  });

  test("the shorter one waits at its end while the longer one goes on", () => {
    const short = video({ time: 4, duration: 4, ready: false });
    const { videos, ended } = stepTogether([short, video({ time: 6 })], WANTED);
    expect(videos).toEqual([
      { play: false, seekTo: null },
      { play: true, seekTo: null },
    ]);
    expect(ended).toBe(false);
  });

  test("the shorter one is shown to its end, however fast the longer one has passed it", () => {
    const short = video({ time: 3.8, duration: 4 });
    const { videos } = stepTogether([short, video({ time: 4.5 })], { playing: true, speed: 8 });
    expect(videos[0]).toEqual({ play: false, seekTo: 4 });
  });

  test("a video that has drifted follows the leader, a seeking one is left alone", () => {
    const drifted = video({ time: 1 + 2 * TOLERANCE_S, duration: 5 });
    const order = (changes: Partial<VideoState>, speed = 1) =>
      stepTogether([video({}), { ...drifted, ...changes }], { playing: true, speed }).videos[1];
    expect(order({})?.seekTo).toBe(1);
    expect(order({ seeking: true })?.seekTo).toBeNull();
    expect(order({ time: 1 + TOLERANCE_S / 2 })?.seekTo).toBeNull();
    expect(order({}, 8)?.seekTo).toBeNull();
  });
});

test("without a video there is nothing to do", () => {
  expect(stepTogether([], WANTED)).toEqual({ videos: [], ended: false, waiting: false });
});
