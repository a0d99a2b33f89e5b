import { beforeEach, describe, expect, test, vi } from "vitest";
import { attentionAt, thoughtAt } from "../testing/fixtures";
import { KEPT, Mind, REMEMBERED } from "./policy-track";

let mind: Mind;

beforeEach(() => {
  mind = new Mind();
});

describe("in step with the picture", () => {
  test("a thought that arrives early waits for its picture", () => {
    mind.hear(thoughtAt(1.0, { value: 1 }));
    mind.hear(thoughtAt(1.2, { value: 2 }));
    mind.show(1, 0.9);
    expect(mind.view.thought).toBeNull();
    mind.show(1, 1.1);
    expect(mind.view.thought?.value).toBe(1);
    mind.show(1, 1.2);
    expect(mind.view.thought?.value).toBe(2);
  });

  test("a picture's time that was rounded down still finds its thought", () => {
    mind.hear(thoughtAt(1.2333333));
    mind.show(1, 1.233);
    expect(mind.view.thought?.time).toBe(1.2333333);
  });

  test("a seek forward skips what was thought meanwhile, and a seek back finds the earlier one", () => {
    for (const time of [1, 2, 3, 4]) mind.hear(thoughtAt(time));
    mind.show(1, 4.1);
    expect(mind.view.thought?.time).toBe(4);
    mind.show(1, 2.5);
    expect(mind.view.thought?.time).toBe(2);
  });

  test("a thought of another epoch is never shown, whatever its time", () => {
    mind.hear(thoughtAt(1, { epoch: 1, value: 1 }));
    mind.hear(thoughtAt(0.1, { epoch: 2, value: 2 }));
    mind.show(2, 5);
    expect(mind.view.thought?.value).toBe(2);
    mind.show(3, 5);
    expect(mind.view.thought).toBeNull();
  });

  test("the heat map has a clock of its own and is held until the next one", () => {
    mind.hear(attentionAt(1.0));
    mind.hear(thoughtAt(1.1));
    mind.show(1, 1.15);
    expect(mind.view.attention?.time).toBe(1.0);
    expect(mind.view.thought?.time).toBe(1.1);
    mind.hear(thoughtAt(1.2));
    mind.show(1, 1.2);
    expect(mind.view.attention?.time).toBe(1.0);
  });
});

describe("what is told", () => {
  test("listeners hear of changes only, and not after they left", () => {
    const listener = vi.fn();
    const leave = mind.subscribe(listener);
    mind.hear(thoughtAt(1));
    expect(listener).not.toHaveBeenCalled();
    mind.show(1, 1);
    mind.show(1, 1.03);
    mind.show(1, 1.06);
    expect(listener).toHaveBeenCalledOnce();
    leave();
    mind.hear({ type: "policy", actions: ["attack"] });
    expect(listener).toHaveBeenCalledOnce();
  });

  test("the names of the actions outlive a reconnect, thoughts don't", () => {
    mind.hear({ type: "policy", actions: ["wait", "attack"] });
    mind.hear(thoughtAt(1));
    mind.show(1, 1);
    mind.forget();
    expect(mind.view.thought).toBeNull();
    expect(mind.view.actions).toEqual(["wait", "attack"]);
    mind.show(1, 1);
    expect(mind.view.thought).toBeNull();
  });

  test("recent thoughts reach back ten seconds and no further", () => {
    for (let time = 0; time <= 30; time += 0.5) {
      mind.hear(thoughtAt(time));
      mind.show(1, time);
    }
    expect(mind.view.recent.at(-1)).toBe(mind.view.thought);
    expect(mind.view.recent.at(0)?.time).toBeGreaterThan(30 - REMEMBERED - 0.01);
    expect(mind.view.recent).toHaveLength(20);
  });
});

test("memory is bounded while no picture is shown", () => {
  for (let i = 0; i < 3 * KEPT; i++) mind.hear(thoughtAt(i));
  mind.show(1, 2 * KEPT - 1);
  expect(mind.view.thought).toBeNull();
  mind.show(1, 2 * KEPT);
  expect(mind.view.thought?.time).toBe(2 * KEPT);
});
