import { expect, test } from "vitest";
import { changeSpeed, formatSpeed, REPEATED_KEYS, REPLAY_KEYS, SPEEDS } from "./keys";

test("speeds go from half to eight times, and stay there", () => {
  expect(SPEEDS.map(formatSpeed)).toEqual(["½×", "1×", "2×", "4×", "8×"]);
  expect(changeSpeed(1, 1)).toBe(2);
  expect(changeSpeed(8, 1)).toBe(8);
  expect(changeSpeed(0.5, -1)).toBe(0.5);
});

test("keys that move are repeated while they are held, those that switch are not", () => {
  for (const [key, { type }] of Object.entries(REPLAY_KEYS))
    expect([key, REPEATED_KEYS.has(key)]).toEqual([key, type === "skip" || type === "step"]);
});
