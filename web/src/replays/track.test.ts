import { describe, expect, test } from "vitest";
import { makeTrack } from "../testing/fixtures";
import { indexTrack, isLastFrame, rewardTime, stepAt, viewAt } from "./track";

const track = makeTrack({ rewards: [1, 0, -0.5], total_reward: 0.5001 });
const indexed = indexTrack(track);

describe("the step at a time", () => {
  test("is the last one begun", () => {
    const times = [0, 0.1, 0.2];
    expect([0, 0.05, 0.1, 0.19, 0.2, 9].map((time) => stepAt(times, time))).toEqual([
      0, 0, 1, 1, 2, 2,
    ]);
  });

  test("is found although browsers round the times of frames", () => {
    expect(stepAt([0, 0.1143], 0.114)).toBe(1);
  });

  test("is the first before it, and none in an empty track", () => {
    expect(stepAt([0.5, 1], 0)).toBe(0);
    expect(stepAt([], 3)).toBe(-1);
  });
});

describe("the panel", () => {
  test("has the reward and the return before the step, as in a live stream", () => {
    const { thought, actions } = viewAt(indexed, 1, false);
    expect(actions).toEqual(["wait", "attack"]);
    expect(thought).toMatchObject({ action: 1, reward: 1, episode_return: 1, value: 1 });
    expect(viewAt(indexed, 0, false).thought).toMatchObject({ reward: 0, episode_return: 0 });
  });

  test("has the exact return of the episode at its last frame", () => {
    expect(viewAt(indexed, 2, false).thought).toMatchObject({ reward: 0, episode_return: 1 });
    expect(viewAt(indexed, 2, true).thought).toMatchObject({
      reward: -0.5,
      episode_return: 0.5001,
    });
  });

  test("remembers ten seconds", () => {
    const times = Array.from({ length: 100 }, (_, i) => i / 2);
    const long = indexTrack(makeTrack({ times, values: times, rewards: times.map(() => 0) }));
    const { recent, thought } = viewAt(long, 99, false);
    expect(recent.at(-1)).toBe(thought);
    expect(recent[0]?.time).toBe(39.5);
    expect(recent).toHaveLength(21);
  });

  test("is empty without a step", () => {
    expect(viewAt(indexTrack(makeTrack({ times: [], rewards: [] })), -1, true).thought).toBeNull();
  });
});

test("the reward of a step is in when the next one begins, or the episode ends", () => {
  expect([0, 1, 2].map((step) => rewardTime(track, step))).toEqual([0.1, 0.2, 0.3]);
});

test("the last frame begins one tic before the end", () => {
  expect(isLastFrame({ ...track, tics_per_s: 35 }, 0.3 - 1 / 35)).toBe(true);
  expect(isLastFrame({ ...track, tics_per_s: 35 }, 0.3 - 2 / 35)).toBe(false);
});
