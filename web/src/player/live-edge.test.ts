import { describe, expect, test } from "vitest";
import {
  BACK_BUFFER_S,
  correctPlayhead,
  DEAD_BAND_S,
  MAX_RATE,
  MAX_TARGET_S,
  MIN_RATE,
  MIN_TARGET_S,
  type Playhead,
  SEEK_COOLDOWN_S,
  STEP_DOWN_AFTER_MS,
  TARGET_STEP_S,
  TargetLatency,
  TRIM_SLACK_S,
} from "./live-edge";

const START = 47_721.858; // media time starts at an arbitrary value
const TARGET = 0.2;

function playhead(sinceStart: number, changes: Partial<Playhead> = {}): Playhead {
  return {
    time: START + sinceStart,
    rate: 1,
    started: true,
    sinceSeek: 60,
    target: TARGET,
    ...changes,
  };
}

function buffered(...ranges: [number, number][]) {
  return ranges.map(([start, end]) => ({ start: START + start, end: START + end }));
}

describe("starting", () => {
  test("waits for the first fragment", () => {
    expect(correctPlayhead([], playhead(0))).toEqual({ seekTo: null, rate: 1, trimBefore: null });
  });

  test("seeks to the end of a replayed GOP, wherever its clock starts", () => {
    const joining = { time: 0, rate: 1, started: false, sinceSeek: 60, target: TARGET };
    expect(correctPlayhead(buffered([0, 1.8]), joining).seekTo).toBeCloseTo(START + 1.8 - TARGET);
  });

  test("seeks along a GOP that is still arriving, instead of playing it fast", () => {
    const early = playhead(0.1, { started: false, sinceSeek: 0.01 });
    expect(correctPlayhead(buffered([0, 1.8]), early).seekTo).toBeCloseTo(START + 1.8 - TARGET);
  });

  test("stays put when the newest frame is close", () => {
    const close = playhead(0, { started: false, sinceSeek: 0.1 });
    expect(correctPlayhead(buffered([0, 0.1]), close).seekTo).toBeNull();
  });

  test("shows the keyframe first where little came after it, and does not seek along", () => {
    const joining = { time: 0, rate: 1, started: false, sinceSeek: 60, target: TARGET };
    expect(correctPlayhead(buffered([0, 0.6]), joining).seekTo).toBe(START);
    const waiting = playhead(0, { started: false, sinceSeek: 0.1 });
    expect(correctPlayhead(buffered([0, 0.8]), waiting)).toMatchObject({ seekTo: null, rate: 1.1 });
  });

  test("never seeks before the first frame", () => {
    const joining = { time: 0, rate: 1, started: false, sinceSeek: 60, target: TARGET };
    expect(correctPlayhead(buffered([0, 0.03]), joining).seekTo).toBe(START);
  });
});

describe("following the live edge", () => {
  test.each([0.16, 0.2, 0.24])("keeps the rate at %s s behind live", (behind) => {
    expect(correctPlayhead(buffered([0, 10]), playhead(10 - behind))).toMatchObject({
      seekTo: null,
      rate: 1,
    });
  });

  test("slows down when too close, until it reaches the target", () => {
    expect(correctPlayhead(buffered([0, 10]), playhead(9.95)).rate).toBe(MIN_RATE);
    expect(correctPlayhead(buffered([0, 10]), playhead(9.85, { rate: MIN_RATE })).rate).toBe(
      MIN_RATE,
    );
    expect(correctPlayhead(buffered([0, 10]), playhead(9.79, { rate: MIN_RATE })).rate).toBe(1);
  });

  test("speeds up gently when behind, until it reaches the target", () => {
    const { rate } = correctPlayhead(buffered([0, 10]), playhead(9.6));
    expect(rate).toBeGreaterThan(1);
    expect(rate).toBeLessThan(1.05);
    expect(correctPlayhead(buffered([0, 10]), playhead(9.75, { rate })).rate).toBeGreaterThan(1);
    expect(correctPlayhead(buffered([0, 10]), playhead(9.81, { rate })).rate).toBe(1);
  });

  test("never exceeds the maximum rate", () => {
    expect(correctPlayhead(buffered([0, 10]), playhead(9.01)).rate).toBeLessThanOrEqual(MAX_RATE);
  });

  test("seeks when more than a second behind", () => {
    const { seekTo, rate } = correctPlayhead(buffered([0, 10]), playhead(8.9, { rate: MAX_RATE }));
    expect(seekTo).toBeCloseTo(START + 10 - TARGET);
    expect(rate).toBe(1);
  });

  test("does not seek again at once on a device that decodes too slowly", () => {
    const justNow = playhead(8, { sinceSeek: SEEK_COOLDOWN_S / 2 });
    expect(correctPlayhead(buffered([0, 10]), justNow).seekTo).toBeNull();
  });

  test("jumps over the gap of a dropped GOP", () => {
    expect(correctPlayhead(buffered([0, 4], [6, 6.05]), playhead(4)).seekTo).toBeCloseTo(START + 6);
    expect(correctPlayhead(buffered([0, 4], [6, 7]), playhead(4)).seekTo).toBeCloseTo(
      START + 7 - TARGET,
    );
  });
});

describe("trimming", () => {
  test("removes old frames in batches", () => {
    const keep = BACK_BUFFER_S + TRIM_SLACK_S;
    expect(correctPlayhead(buffered([0, keep]), playhead(keep - 0.2)).trimBefore).toBeNull();
    expect(correctPlayhead(buffered([0, keep + 1]), playhead(keep + 0.8)).trimBefore).toBeCloseTo(
      START + keep + 0.8 - BACK_BUFFER_S,
    );
  });
});

describe("target latency", () => {
  function makeTarget() {
    let time = 5_000;
    return {
      latency: new TargetLatency(() => time),
      wait: (ms: number) => {
        time += ms;
      },
    };
  }

  test("stays between 0.1 and 0.3 s, dead band included", () => {
    expect(MIN_TARGET_S - DEAD_BAND_S).toBeCloseTo(0.1);
    expect(MAX_TARGET_S + DEAD_BAND_S).toBeCloseTo(0.3);
  });

  test("grows with each stall, up to its maximum", () => {
    const { latency } = makeTarget();
    expect(latency.seconds).toBe(MIN_TARGET_S);
    latency.stalled();
    expect(latency.seconds).toBeCloseTo(MIN_TARGET_S + TARGET_STEP_S);
    for (let i = 0; i < 10; i++) latency.stalled();
    expect(latency.seconds).toBe(MAX_TARGET_S);
  });

  test("shrinks step by step without stalls", () => {
    const { latency, wait } = makeTarget();
    latency.stalled();
    latency.stalled();
    wait(STEP_DOWN_AFTER_MS - 1);
    expect(latency.seconds).toBeCloseTo(MIN_TARGET_S + 2 * TARGET_STEP_S);
    wait(1);
    expect(latency.seconds).toBeCloseTo(MIN_TARGET_S + TARGET_STEP_S);
    wait(10 * STEP_DOWN_AFTER_MS);
    expect(latency.seconds).toBe(MIN_TARGET_S);
  });

  test("a new stall restarts the calm period", () => {
    const { latency, wait } = makeTarget();
    latency.stalled();
    wait(STEP_DOWN_AFTER_MS - 1);
    latency.stalled();
    wait(STEP_DOWN_AFTER_MS - 1);
    expect(latency.seconds).toBeCloseTo(MIN_TARGET_S + 2 * TARGET_STEP_S);
  });
});
