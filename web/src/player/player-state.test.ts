import { beforeEach, describe, expect, test } from "vitest";
import type { EpochMessage, StateMessage, StreamState } from "../api/schema";
import {
  CONNECT_TIMEOUT,
  type Command,
  FROZEN_AFTER,
  type PlayerEvent,
  PlayerMachine,
  RETRY_FIRST,
  RETRY_LIMIT,
  STABLE_AFTER,
  STUCK_AFTER,
} from "./player-state";

let clock: number;
let machine: PlayerMachine;

beforeEach(() => {
  clock = 1_000;
  machine = new PlayerMachine(
    () => clock,
    () => 1,
  );
});

function state(stream: StreamState, reason = "because"): PlayerEvent {
  const message: StateMessage = { type: "state", state: stream, reason };
  return { type: "message", message };
}

function epoch(number: number): PlayerEvent & { message: EpochMessage } {
  const mime = 'video/mp4; codecs="avc1.42c01f"';
  return {
    type: "message",
    message: { type: "epoch", epoch: number, mime, width: 1280, height: 720 },
  };
}

const bytes = new Uint8Array([1]);

function feed(...events: PlayerEvent[]): Command[] {
  return events.flatMap((event) => machine.handle(event));
}

function goLive(): void {
  feed(
    { type: "watched", watched: true },
    { type: "opened" },
    state("live"),
    epoch(1),
    { type: "bytes", bytes },
    { type: "painted" },
  );
  expect(machine.view.state).toBe("live");
}

/** Ticks in steps of 250 ms, as the shell does. */
function pass(ms: number): Command[] {
  const commands: Command[] = [];
  for (let passed = 0; passed < ms; passed += 250) {
    clock += 250;
    commands.push(...feed({ type: "tick" }));
  }
  return commands;
}

describe("joining", () => {
  test("connects only when somebody watches", () => {
    expect(pass(10_000)).toEqual([]);
    expect(feed({ type: "watched", watched: false })).toContainEqual({ do: "disconnect" });
    expect(machine.view.state).toBe("paused");
    expect(feed({ type: "watched", watched: true })).toEqual([{ do: "connect" }]);
    expect(machine.view.state).toBe("waiting");
  });

  test("is live with the first picture and not before", () => {
    feed({ type: "watched", watched: true }, { type: "opened" }, state("live", "It plays."));
    expect(machine.view.state).toBe("waiting");
    expect(machine.view.reason).toContain("first picture");
    const started = epoch(7);
    expect(feed(started)).toEqual([{ do: "rebuild", epoch: started.message }]);
    expect(feed({ type: "bytes", bytes })).toEqual([{ do: "append", bytes }]);
    expect(machine.view.state).toBe("waiting");
    feed({ type: "painted" });
    expect(machine.view.state).toBe("live");
  });

  test("passes no bytes on before it knows what they are", () => {
    feed({ type: "watched", watched: true }, { type: "opened" });
    expect(feed({ type: "bytes", bytes })).toEqual([]);
  });

  test("a starting encoder is waited for", () => {
    feed({ type: "watched", watched: true }, { type: "opened" }, state("starting"));
    expect(machine.view.state).toBe("waiting");
  });
});

describe("changes of the stream", () => {
  test("a new epoch rebuilds, and is live again with its own first picture", () => {
    goLive();
    const next = epoch(2);
    expect(feed(next)).toEqual([{ do: "rebuild", epoch: next.message }]);
    expect(machine.view.state).toBe("waiting");
    feed({ type: "painted" });
    expect(machine.view.state).toBe("live");
  });

  test("standby clears the picture, keeps the connection and says why", () => {
    goLive();
    expect(feed(state("standby", "omega-1 holds the only session."))).toEqual([{ do: "clear" }]);
    expect(machine.view).toEqual({ state: "standby", reason: "omega-1 holds the only session." });
    expect(pass(60_000)).toEqual([]);
    expect(machine.view.state).toBe("standby");
  });

  test("an encoder's failure is an error with the server's words", () => {
    goLive();
    feed(state("error", "The encoder broke."));
    expect(machine.view).toEqual({ state: "error", reason: "The encoder broke." });
  });

  test("from standby it goes live without a new connection", () => {
    goLive();
    feed(state("standby"));
    const commands = feed(state("live"), epoch(2), { type: "painted" });
    expect(commands.map((command) => command.do)).toEqual(["rebuild"]);
    expect(machine.view.state).toBe("live");
  });

  test("a late picture of the cleared stream doesn't make a standby worker live", () => {
    goLive();
    feed(state("standby"), { type: "painted" }, state("live"));
    expect(machine.view.state).toBe("waiting");
  });
});

describe("trouble", () => {
  test("frozen pictures are not called live", () => {
    goLive();
    pass(FROZEN_AFTER);
    expect(machine.view.state).toBe("waiting");
    expect(machine.view.reason).toContain("No new picture");
    feed({ type: "painted" });
    expect(machine.view.state).toBe("live");
  });

  test("a live stream without pictures gets a new connection", () => {
    goLive();
    expect(pass(STUCK_AFTER).at(0)).toEqual({ do: "disconnect" });
    expect(machine.view.state).toBe("reconnecting");
  });

  test("a lost connection is retried for ever, ever more slowly up to the limit", () => {
    goLive();
    const delays: number[] = [];
    for (let attempt = 0; attempt < 40; attempt++) {
      feed({ type: "closed" });
      expect(machine.view.state).toBe("reconnecting");
      const lostAt = clock;
      while (!feed({ type: "tick" }).some((command) => command.do === "connect")) clock += 1;
      delays.push(clock - lostAt);
    }
    expect(delays.slice(0, 5)).toEqual([250, 500, 1000, 2000, RETRY_LIMIT]);
    expect(delays.at(-1)).toBe(RETRY_LIMIT);
  });

  test("many viewers don't retry all at once", () => {
    const eager = new PlayerMachine(
      () => clock,
      () => 0,
    );
    eager.handle({ type: "watched", watched: true });
    eager.handle({ type: "closed" });
    clock += RETRY_FIRST * 0.75;
    expect(eager.handle({ type: "tick" })).toEqual([{ do: "connect" }]);
  });

  test("after a connection that held, the first retry is quick again", () => {
    goLive();
    for (let i = 0; i < 5; i++) {
      feed({ type: "closed" });
      pass(RETRY_LIMIT);
    }
    feed({ type: "opened" }, state("live"), epoch(2), { type: "painted" });
    for (let passed = 0; passed < STABLE_AFTER; passed += 1_000) {
      clock += 1_000;
      feed({ type: "painted" });
    }
    feed({ type: "closed" });
    expect(pass(RETRY_FIRST)).toEqual([{ do: "connect" }]);
  });

  test("it keeps saying RECONNECTING until the worker speaks", () => {
    goLive();
    feed({ type: "closed" });
    pass(RETRY_FIRST);
    feed({ type: "opened" });
    expect(machine.view.state).toBe("reconnecting");
    feed(state("live"));
    expect(machine.view.state).toBe("waiting");
  });

  test("a connection that never opens, or opens and stays silent, is given up", () => {
    feed({ type: "watched", watched: true });
    expect(pass(CONNECT_TIMEOUT)).toEqual([{ do: "disconnect" }]);
    pass(RETRY_FIRST);
    feed({ type: "opened" });
    expect(pass(CONNECT_TIMEOUT)).toEqual([{ do: "disconnect" }]);
  });

  test("broken media gets a new connection, and says what broke", () => {
    goLive();
    expect(feed({ type: "broken", reason: "It broke." })).toEqual([{ do: "disconnect" }]);
    expect(machine.view.reason).toContain("It broke.");
    expect(feed({ type: "broken", reason: "It broke." })).toEqual([]);
  });

  test("what the browser can't play is an error that no retry follows", () => {
    goLive();
    feed({ type: "unsupported", reason: "No decoder." });
    expect(machine.view).toEqual({ state: "error", reason: "No decoder." });
    expect(pass(60_000)).toEqual([]);
    expect(feed({ type: "watched", watched: false }, { type: "watched", watched: true })).toEqual([
      { do: "disconnect" },
    ]);
  });
});

describe("a new address", () => {
  test("is joined at once, and what was shown stays until it paints", () => {
    goLive();
    const commands = feed({ type: "moved" });
    expect(commands).toEqual([{ do: "disconnect" }, { do: "connect" }]);
    expect(machine.view.state).toBe("waiting");
    feed({ type: "opened" }, state("live"), epoch(1), { type: "painted" });
    expect(machine.view.state).toBe("live");
  });

  test("doesn't wait for a back-off that belonged to the old one", () => {
    goLive();
    feed({ type: "closed" });
    expect(feed({ type: "moved" })).toContainEqual({ do: "connect" });
    expect(machine.view.state).toBe("waiting");
  });

  test("connects nobody who doesn't look", () => {
    expect(feed({ type: "moved" })).toEqual([]);
    goLive();
    feed({ type: "watched", watched: false });
    expect(feed({ type: "moved" })).toEqual([]);
  });
});

describe("out of sight", () => {
  test("stops downloading, and joins anew when it is seen again", () => {
    goLive();
    expect(feed({ type: "watched", watched: false })).toEqual([{ do: "disconnect" }]);
    expect(machine.view.state).toBe("paused");
    expect(pass(60_000)).toEqual([]);
    expect(feed({ type: "watched", watched: true })).toEqual([{ do: "connect" }]);
    expect(machine.view.state).toBe("waiting");
  });

  test("does not reconnect while nobody looks", () => {
    goLive();
    feed({ type: "closed" }, { type: "watched", watched: false });
    expect(pass(60_000)).toEqual([]);
  });

  test("a browser that refuses to start video is paused, and stays connected", () => {
    goLive();
    feed(epoch(2), { type: "autoplay", allowed: false });
    expect(machine.view.state).toBe("paused");
    expect(pass(STUCK_AFTER * 2)).toEqual([]);
    feed({ type: "autoplay", allowed: true }, { type: "painted" });
    expect(machine.view.state).toBe("live");
  });
});

describe("over WebRTC", () => {
  test("the picture is live when it is painted, without any epoch", () => {
    feed({ type: "watched", watched: true }, { type: "opened" });
    expect(feed({ type: "track" })).toEqual([]);
    expect(machine.view.state).toBe("waiting");
    feed({ type: "painted" });
    expect(machine.view.state).toBe("live");
    pass(FROZEN_AFTER + 250);
    expect(machine.view.state).toBe("waiting");
  });

  test("the other transport takes over at once", () => {
    feed({ type: "watched", watched: true }, { type: "opened" }, { type: "track" });
    expect(feed({ type: "switch" })).toEqual([{ do: "disconnect" }, { do: "connect" }]);
    feed({ type: "opened" }, state("standby", "others are shown"));
    expect(machine.view).toEqual({ state: "standby", reason: "others are shown" });
  });

  test("nothing takes over where nobody watches", () => {
    feed({ type: "watched", watched: true }, { type: "watched", watched: false });
    expect(feed({ type: "switch" })).toEqual([]);
  });
});
