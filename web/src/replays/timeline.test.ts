import { expect, test } from "vitest";
import { makeTrack } from "../testing/fixtures";
import { HEIGHT, MAX_TICKS, rewardTicks, timeAtPointer, toX, valueCurve, WIDTH } from "./timeline";

test("values span the width by time and the height by size", () => {
  const track = makeTrack({ times: [0, 5, 8], values: [1, 3, 2], duration_s: 10 });
  expect(valueCurve(track, 10)).toBe("0.0,38.0 500.0,2.0 800.0,20.0 1000.0,20.0");
  expect(valueCurve(track, 20)).toBe("0.0,38.0 250.0,2.0 400.0,20.0 500.0,20.0");
});

test("a reward is a tick where its step ends, upwards if positive", () => {
  const track = makeTrack({ times: [0, 5], rewards: [100, -50], duration_s: 10 });
  const [gain, loss] = rewardTicks(track, 10);
  expect(gain).toEqual({ x: WIDTH / 2, y: 1, positive: true });
  expect(loss?.x).toBe(WIDTH);
  expect(loss?.y).toBeGreaterThan(HEIGHT / 2);
});

test("rewards at one place are added up, and one of 0 has no tick", () => {
  const times = Array.from({ length: 10_000 }, (_, i) => i / 100);
  const rewards = times.map((_, i) => (i % 2 ? 1 : 0));
  const ticks = rewardTicks(makeTrack({ times, rewards, duration_s: 100 }), 100);
  expect(ticks.length).toBeLessThanOrEqual(MAX_TICKS + 1);
  expect(new Set(ticks.map(({ x }) => x)).size).toBe(ticks.length);
  const opposite = makeTrack({ times: [0, 1e-6], rewards: [1, -1], duration_s: 2e-6 });
  expect(rewardTicks({ ...opposite, duration_s: 10 }, 1e6)).toEqual([]);
});

test("a small reward beside a large one is still seen", () => {
  const track = makeTrack({ times: [0, 5], rewards: [-1, 1_000], duration_s: 10 });
  expect(rewardTicks(track, 10)[0]?.y).toBeGreaterThan(HEIGHT / 2 + 1);
});

test("positions and times convert into each other, and stay within the episode", () => {
  expect(toX(5, 20)).toBe(250);
  expect([toX(-1, 20), toX(99, 20), toX(1, 0)]).toEqual([0, WIDTH, 0]);
  const box = { left: 100, width: 400 };
  expect([200, 0, 900].map((x) => timeAtPointer(x, box, 20))).toEqual([5, 0, 20]);
});
