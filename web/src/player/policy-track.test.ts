import { beforeEach, describe, expect, test, vi } from "vitest";
import { makeSaliency, makeThought } from "../testing/fixtures";
import { MAX_MESSAGES, PolicyTrack, RECENT_S } from "./policy-track";

let track: PolicyTrack;

beforeEach(() => {
  track = new PolicyTrack();
});

describe("alignment with the video", () => {
  test("a thought that arrives early waits for its frame", () => {
    track.push(makeThought(1.0, { value: 1 }));
    track.push(makeThought(1.2, { value: 2 }));
    track.seek(1, 0.9);
    expect(track.view.thought).toBeNull();
    track.seek(1, 1.1);
    expect(track.view.thought?.value).toBe(1);
    track.seek(1, 1.2);
    expect(track.view.thought?.value).toBe(2);
  });

  test("a frame time that was rounded down still matches", () => {
    track.push(makeThought(1.2333333));
    track.seek(1, 1.233);
    expect(track.view.thought?.time).toBe(1.2333333);
  });

  test("seeking forward skips thoughts, seeking back finds the earlier one", () => {
    for (const time of [1, 2, 3, 4]) track.push(makeThought(time));
    track.seek(1, 4.1);
    expect(track.view.thought?.time).toBe(4);
    track.seek(1, 2.5);
    expect(track.view.thought?.time).toBe(2);
  });

  test("a thought of another epoch is never shown", () => {
    track.push(makeThought(1, { epoch: 1, value: 1 }));
    track.push(makeThought(0.1, { epoch: 2, value: 2 }));
    track.seek(2, 5);
    expect(track.view.thought?.value).toBe(2);
    track.seek(3, 5);
    expect(track.view.thought).toBeNull();
  });

  test("a saliency map is shown until the next one", () => {
    track.push(makeSaliency(1.0));
    track.push(makeThought(1.1));
    track.seek(1, 1.15);
    expect(track.view.saliency?.time).toBe(1.0);
    expect(track.view.thought?.time).toBe(1.1);
    track.push(makeThought(1.2));
    track.seek(1, 1.2);
    expect(track.view.saliency?.time).toBe(1.0);
  });
});

describe("the view", () => {
  test("listeners are called on changes only, until unsubscribed", () => {
    const listener = vi.fn();
    const unsubscribe = track.subscribe(listener);
    track.push(makeThought(1));
    expect(listener).not.toHaveBeenCalled();
    track.seek(1, 1);
    track.seek(1, 1.03);
    track.seek(1, 1.06);
    expect(listener).toHaveBeenCalledOnce();
    unsubscribe();
    track.push({ type: "policy", actions: ["attack"] });
    expect(listener).toHaveBeenCalledOnce();
  });

  test("action names survive a reset, thoughts do not", () => {
    track.push({ type: "policy", actions: ["wait", "attack"] });
    track.push(makeThought(1));
    track.seek(1, 1);
    track.reset();
    expect(track.view.thought).toBeNull();
    expect(track.view.actions).toEqual(["wait", "attack"]);
    track.seek(1, 1);
    expect(track.view.thought).toBeNull();
  });

  test("recent thoughts cover the last ten seconds", () => {
    for (let time = 0; time <= 30; time += 0.5) {
      track.push(makeThought(time));
      track.seek(1, time);
    }
    expect(track.view.recent.at(-1)).toBe(track.view.thought);
    expect(track.view.recent.at(0)?.time).toBeGreaterThan(30 - RECENT_S - 0.01);
    expect(track.view.recent).toHaveLength(20);
  });
});

test("memory is bounded while no frame is shown", () => {
  for (let i = 0; i < 3 * MAX_MESSAGES; i++) track.push(makeThought(i));
  track.seek(1, 2 * MAX_MESSAGES - 1);
  expect(track.view.thought).toBeNull();
  track.seek(1, 2 * MAX_MESSAGES);
  expect(track.view.thought?.time).toBe(2 * MAX_MESSAGES);
});
