import { describe, expect, test } from "vitest";
import { episodeUrl, parseReplayQuery, replayPath } from "./urls";

function parse(path: string) {
  return parseReplayQuery(new URLSearchParams(path.slice(path.indexOf("?"))));
}

describe("the page's query", () => {
  test("names run, episode and time, and survives a round trip", () => {
    const query = {
      run: "a run",
      episode: { by: "id", id: 12 },
      time: 3.25,
      rematch: true,
    } as const;
    expect(replayPath(query)).toBe("/replay?run=a+run&episode=12&t=3.25&with=rematch");
    expect(parse(replayPath(query))).toEqual(query);
  });

  test("leaves out what is the default", () => {
    expect(replayPath({ episode: { by: "id", id: 0 }, time: 0.001 })).toBe("/replay?episode=0");
    const rest = { run: null, time: 0, rematch: false };
    expect(parse("/replay?episode=0")).toEqual({ ...rest, episode: { by: "id", id: 0 } });
    expect(parse("/replay?")).toEqual({ ...rest, episode: { by: "last", worker: null } });
  });

  test.each([
    [{ by: "best", worker: null }, "/replay?episode=best"],
    [{ by: "last", worker: 3 }, "/replay?episode=last&worker=3"],
    [{ by: "step", step: 4_000, worker: 1 }, "/replay?step=4000&worker=1"],
  ] as const)("chooses %o", (episode, path) => {
    expect(replayPath({ episode })).toBe(path);
    expect(parse(path).episode).toEqual(episode);
  });

  test("what was typed wrong is the start of the last episode", () => {
    const { episode, time } = parse("/replay?episode=-1&t=soon&worker=x");
    expect(episode).toEqual({ by: "last", worker: null });
    expect(time).toBe(0);
    expect(parse("/replay?t=Infinity").time).toBe(0);
  });
});

test("each choice has its URL at the API", () => {
  const base = "/api/runs/a%20run/episodes";
  expect(episodeUrl("a run", { by: "id", id: 7 })).toBe(`${base}/7`);
  expect(episodeUrl("a run", { by: "step", step: 99.6, worker: null })).toBe(
    `${base}/nearest?fleet_step=100`,
  );
  expect(episodeUrl("a run", { by: "last", worker: 2 })).toBe(
    `${base}?replayable=true&order=newest&limit=1&worker=2`,
  );
});
