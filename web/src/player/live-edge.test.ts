import { describe, expect, test } from "vitest";
import {
  advise,
  BAND,
  CALM,
  Cushion,
  FARTHEST_TARGET,
  FASTEST,
  KEEP_BEHIND,
  NEAREST_TARGET,
  type Playhead,
  SEEK_PAUSE,
  SLOWEST,
  STEP,
  TRIM_SLACK,
} from "./live-edge";

const CLOCK = 47_721.858; // media time starts anywhere
const TARGET = 0.2;

function playhead(behindStart: number, changes: Partial<Playhead> = {}): Playhead {
  return {
    time: CLOCK + behindStart,
    rate: 1,
    landed: true,
    sinceSeek: 60,
    target: TARGET,
    ...changes,
  };
}

function buffered(...ranges: [number, number][]) {
  return ranges.map(([start, end]) => ({ start: CLOCK + start, end: CLOCK + end }));
}

describe("landing", () => {
  test("waits for the first fragment", () => {
    expect(advise([], playhead(0))).toEqual({ seekTo: null, rate: 1, trimBefore: null });
  });

  test("goes to the end of a replayed group, wherever its clock starts", () => {
    const arrival = { time: 0, rate: 1, landed: false, sinceSeek: 60, target: TARGET };
    expect(advise(buffered([0, 1.8]), arrival).seekTo).toBeCloseTo(CLOCK + 1.8 - TARGET);
  });

  test("follows a group that is still arriving, instead of playing it fast", () => {
    const early = playhead(0.1, { landed: false, sinceSeek: 0.01 });
    expect(advise(buffered([0, 1.8]), early).seekTo).toBeCloseTo(CLOCK + 1.8 - TARGET);
  });

  test("stays where it is when the newest picture is close", () => {
    const close = playhead(0, { landed: false, sinceSeek: 0.1 });
    expect(advise(buffered([0, 0.1]), close).seekTo).toBeNull();
  });

  test("never seeks before the first picture there is", () => {
    const arrival = { time: 0, rate: 1, landed: false, sinceSeek: 60, target: TARGET };
    expect(advise(buffered([0, 0.03]), arrival).seekTo).toBe(CLOCK);
  });
});

describe("holding the distance", () => {
  test.each([0.16, 0.2, 0.24])("leaves the rate alone at %s s behind", (behind) => {
    expect(advise(buffered([0, 10]), playhead(10 - behind))).toMatchObject({
      seekTo: null,
      rate: 1,
    });
  });

  test("slows down when it gets too near, until the middle of the band", () => {
    expect(advise(buffered([0, 10]), playhead(9.95)).rate).toBe(SLOWEST);
    expect(advise(buffered([0, 10]), playhead(9.85, { rate: SLOWEST })).rate).toBe(SLOWEST);
    expect(advise(buffered([0, 10]), playhead(9.79, { rate: SLOWEST })).rate).toBe(1);
  });

  test("speeds up gently when it falls behind, until the middle of the band", () => {
    const { rate } = advise(buffered([0, 10]), playhead(9.6));
    expect(rate).toBeGreaterThan(1);
    expect(rate).toBeLessThan(1.05);
    expect(advise(buffered([0, 10]), playhead(9.75, { rate })).rate).toBeGreaterThan(1);
    expect(advise(buffered([0, 10]), playhead(9.81, { rate })).rate).toBe(1);
  });

  test("is never faster than the eye forgives", () => {
    expect(advise(buffered([0, 10]), playhead(9.01)).rate).toBeLessThanOrEqual(FASTEST);
  });

  test("seeks when it is more than a second behind", () => {
    const { seekTo, rate } = advise(buffered([0, 10]), playhead(8.9, { rate: FASTEST }));
    expect(seekTo).toBeCloseTo(CLOCK + 10 - TARGET);
    expect(rate).toBe(1);
  });

  test("does not seek again at once on a machine that decodes too slowly", () => {
    const justNow = playhead(8, { sinceSeek: SEEK_PAUSE / 2 });
    expect(advise(buffered([0, 10]), justNow).seekTo).toBeNull();
  });

  test("jumps over the gap that a dropped group leaves", () => {
    expect(advise(buffered([0, 4], [6, 6.05]), playhead(4)).seekTo).toBeCloseTo(CLOCK + 6);
    expect(advise(buffered([0, 4], [6, 7]), playhead(4)).seekTo).toBeCloseTo(CLOCK + 7 - TARGET);
  });
});

describe("memory", () => {
  test("old pictures are dropped, not one at a time", () => {
    const keep = KEEP_BEHIND + TRIM_SLACK;
    expect(advise(buffered([0, keep]), playhead(keep - 0.2)).trimBefore).toBeNull();
    expect(advise(buffered([0, keep + 1]), playhead(keep + 0.8)).trimBefore).toBeCloseTo(
      CLOCK + keep + 0.8 - KEEP_BEHIND,
    );
  });
});

describe("the cushion", () => {
  function cushion() {
    let time = 5_000;
    return {
      cushion: new Cushion(() => time),
      wait: (ms: number) => {
        time += ms;
      },
    };
  }

  test("with its band it lies between a tenth and three tenths of a second", () => {
    expect(NEAREST_TARGET - BAND).toBeCloseTo(0.1);
    expect(FARTHEST_TARGET + BAND).toBeCloseTo(0.3);
  });

  test("grows each time the pictures ran out, up to its limit", () => {
    const { cushion: held } = cushion();
    expect(held.target).toBe(NEAREST_TARGET);
    held.ranOut();
    expect(held.target).toBeCloseTo(NEAREST_TARGET + STEP);
    for (let i = 0; i < 10; i++) held.ranOut();
    expect(held.target).toBe(FARTHEST_TARGET);
  });

  test("shrinks step by step while they come steadily", () => {
    const { cushion: held, wait } = cushion();
    held.ranOut();
    held.ranOut();
    wait(CALM - 1);
    expect(held.target).toBeCloseTo(NEAREST_TARGET + 2 * STEP);
    wait(1);
    expect(held.target).toBeCloseTo(NEAREST_TARGET + STEP);
    wait(10 * CALM);
    expect(held.target).toBe(NEAREST_TARGET);
  });

  test("what ran out lately counts from then", () => {
    const { cushion: held, wait } = cushion();
    held.ranOut();
    wait(CALM - 1);
    held.ranOut();
    wait(CALM - 1);
    expect(held.target).toBeCloseTo(NEAREST_TARGET + 2 * STEP);
  });
});
