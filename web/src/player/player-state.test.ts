import { beforeEach, describe, expect, test } from "vitest";
import type { EpochMessage, StateMessage, StreamState } from "../api/schema";
import {
  CONNECT_TIMEOUT_MS,
  type Command,
  FROZEN_AFTER_MS,
  type PlayerEvent,
  PlayerStateMachine,
  RECONNECT_AFTER_MS,
  RETRY_MAX_MS,
  RETRY_MIN_MS,
  STABLE_AFTER_MS,
} from "./player-state";

let clock: number;
let machine: PlayerStateMachine;

beforeEach(() => {
  clock = 1_000;
  machine = new PlayerStateMachine(
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
    message: { type: "epoch", epoch: number, mime, width: 1280, height: 720, fps: 30 },
  };
}

const bytes = new Uint8Array([1]);

function feed(...events: PlayerEvent[]): Command[] {
  return events.flatMap((event) => machine.handle(event));
}

function goLive(): void {
  feed(
    { type: "visibility", visible: true },
    { type: "opened" },
    state("live"),
    epoch(1),
    { type: "bytes", bytes },
    { type: "frame" },
  );
  expect(machine.status.state).toBe("live");
}

/** Advance the clock in ticks of 250 ms, like the shell. */
function advance(ms: number): Command[] {
  const commands: Command[] = [];
  for (let passed = 0; passed < ms; passed += 250) {
    clock += 250;
    commands.push(...feed({ type: "tick" }));
  }
  return commands;
}

describe("joining", () => {
  test("connects only when visible", () => {
    expect(advance(10_000)).toEqual([]);
    expect(feed({ type: "visibility", visible: false })).toContainEqual({ type: "disconnect" });
    expect(machine.status.state).toBe("paused");
    expect(feed({ type: "visibility", visible: true })).toEqual([{ type: "connect" }]);
    expect(machine.status.state).toBe("waiting");
  });

  test("is live with the first frame and not before", () => {
    feed({ type: "visibility", visible: true }, { type: "opened" }, state("live", "playing"));
    expect(machine.status.state).toBe("waiting");
    expect(machine.status.reason).toContain("first frame");
    const started = epoch(7);
    expect(feed(started)).toEqual([{ type: "start-epoch", epoch: started.message }]);
    expect(feed({ type: "bytes", bytes })).toEqual([{ type: "append", bytes }]);
    expect(machine.status.state).toBe("waiting");
    feed({ type: "frame" });
    expect(machine.status.state).toBe("live");
  });

  test("ignores bytes before the first epoch", () => {
    feed({ type: "visibility", visible: true }, { type: "opened" });
    expect(feed({ type: "bytes", bytes })).toEqual([]);
  });

  test("waits for a starting encoder", () => {
    feed({ type: "visibility", visible: true }, { type: "opened" }, state("starting"));
    expect(machine.status.state).toBe("waiting");
  });
});

describe("stream changes", () => {
  test("a new epoch is live with its own first frame", () => {
    goLive();
    const next = epoch(2);
    expect(feed(next)).toEqual([{ type: "start-epoch", epoch: next.message }]);
    expect(machine.status.state).toBe("waiting");
    feed({ type: "frame" });
    expect(machine.status.state).toBe("live");
  });

  test("standby clears the video, keeps the connection and gives the reason", () => {
    goLive();
    expect(feed(state("standby", "omega-1 holds the only session."))).toEqual([{ type: "clear" }]);
    expect(machine.status).toEqual({ state: "standby", reason: "omega-1 holds the only session." });
    expect(advance(60_000)).toEqual([]);
    expect(machine.status.state).toBe("standby");
  });

  test("an encoder failure is an error with the server's reason", () => {
    goLive();
    feed(state("error", "The encoder broke."));
    expect(machine.status).toEqual({ state: "error", reason: "The encoder broke." });
  });

  test("goes live from standby without a new connection", () => {
    goLive();
    feed(state("standby"));
    const commands = feed(state("live"), epoch(2), { type: "frame" });
    expect(commands.map((command) => command.type)).toEqual(["start-epoch"]);
    expect(machine.status.state).toBe("live");
  });

  test("a late frame of the cleared stream does not make a standby worker live", () => {
    goLive();
    feed(state("standby"), { type: "frame" }, state("live"));
    expect(machine.status.state).toBe("waiting");
  });
});

describe("failures", () => {
  test("a frozen stream is not live", () => {
    goLive();
    advance(FROZEN_AFTER_MS);
    expect(machine.status.state).toBe("waiting");
    expect(machine.status.reason).toContain("has stopped");
    feed({ type: "frame" });
    expect(machine.status.state).toBe("live");
  });

  test("a live stream without frames is reconnected", () => {
    goLive();
    expect(advance(RECONNECT_AFTER_MS).at(0)).toEqual({ type: "disconnect" });
    expect(machine.status.state).toBe("reconnecting");
  });

  test("a worker that has never answered is starting, not lost", () => {
    feed({ type: "visibility", visible: true });
    for (let attempt = 0; attempt < 5; attempt++) {
      feed({ type: "closed" });
      expect(machine.status.state).toBe("starting");
      advance(RETRY_MAX_MS);
    }
    feed({ type: "opened" });
    feed({ type: "closed" });
    expect(machine.status.state).toBe("reconnecting");
  });

  test("a lost connection is retried forever, with growing delays up to the maximum", () => {
    goLive();
    const delays: number[] = [];
    for (let attempt = 0; attempt < 40; attempt++) {
      feed({ type: "closed" });
      expect(machine.status.state).toBe("reconnecting");
      const lostAt = clock;
      while (!feed({ type: "tick" }).some((command) => command.type === "connect")) clock += 1;
      delays.push(clock - lostAt);
    }
    expect(delays.slice(0, 5)).toEqual([250, 500, 1000, 2000, RETRY_MAX_MS]);
    expect(delays.at(-1)).toBe(RETRY_MAX_MS);
  });

  test("retries of many viewers are spread", () => {
    const eager = new PlayerStateMachine(
      () => clock,
      () => 0,
    );
    eager.handle({ type: "visibility", visible: true });
    eager.handle({ type: "closed" });
    clock += RETRY_MIN_MS * 0.75;
    expect(eager.handle({ type: "tick" })).toEqual([{ type: "connect" }]);
  });

  test("a stable connection resets the retry delay", () => {
    goLive();
    for (let i = 0; i < 5; i++) {
      feed({ type: "closed" });
      advance(RETRY_MAX_MS);
    }
    feed({ type: "opened" }, state("live"), epoch(2), { type: "frame" });
    for (let passed = 0; passed < STABLE_AFTER_MS; passed += 1_000) {
      clock += 1_000;
      feed({ type: "frame" });
    }
    feed({ type: "closed" });
    expect(advance(RETRY_MIN_MS)).toEqual([{ type: "connect" }]);
  });

  test("stays RECONNECTING until the worker sends its state", () => {
    goLive();
    feed({ type: "closed" });
    advance(RETRY_MIN_MS);
    feed({ type: "opened" });
    expect(machine.status.state).toBe("reconnecting");
    feed(state("live"));
    expect(machine.status.state).toBe("waiting");
  });

  test("a connection that does not open, or stays silent, times out", () => {
    feed({ type: "visibility", visible: true });
    expect(advance(CONNECT_TIMEOUT_MS)).toEqual([{ type: "disconnect" }]);
    advance(RETRY_MIN_MS);
    feed({ type: "opened" });
    expect(advance(CONNECT_TIMEOUT_MS)).toEqual([{ type: "disconnect" }]);
  });

  test("a media error reconnects and gives the reason", () => {
    goLive();
    expect(feed({ type: "media-error", reason: "It broke." })).toEqual([{ type: "disconnect" }]);
    expect(machine.status.reason).toContain("It broke.");
    expect(feed({ type: "media-error", reason: "It broke." })).toEqual([]);
  });

  test("an unsupported stream is an error without retries", () => {
    goLive();
    feed({ type: "unsupported", reason: "No decoder." });
    expect(machine.status).toEqual({ state: "error", reason: "No decoder." });
    expect(advance(60_000)).toEqual([]);
    expect(
      feed({ type: "visibility", visible: false }, { type: "visibility", visible: true }),
    ).toEqual([{ type: "disconnect" }]);
  });
});

describe("a new URL", () => {
  test("is joined at once", () => {
    goLive();
    const commands = feed({ type: "url-changed" });
    expect(commands).toEqual([{ type: "disconnect" }, { type: "connect" }]);
    expect(machine.status.state).toBe("waiting");
    feed({ type: "opened" }, state("live"), epoch(1), { type: "frame" });
    expect(machine.status.state).toBe("live");
  });

  test("does not wait for the retry delay of the old one", () => {
    goLive();
    feed({ type: "closed" });
    expect(feed({ type: "url-changed" })).toContainEqual({ type: "connect" });
    expect(machine.status.state).toBe("waiting");
  });

  test("does not connect while hidden", () => {
    expect(feed({ type: "url-changed" })).toEqual([]);
    goLive();
    feed({ type: "visibility", visible: false });
    expect(feed({ type: "url-changed" })).toEqual([]);
  });
});

describe("visibility", () => {
  test("disconnects when hidden and reconnects when visible", () => {
    goLive();
    expect(feed({ type: "visibility", visible: false })).toEqual([{ type: "disconnect" }]);
    expect(machine.status.state).toBe("paused");
    expect(advance(60_000)).toEqual([]);
    expect(feed({ type: "visibility", visible: true })).toEqual([{ type: "connect" }]);
    expect(machine.status.state).toBe("waiting");
  });

  test("does not reconnect while hidden", () => {
    goLive();
    feed({ type: "closed" }, { type: "visibility", visible: false });
    expect(advance(60_000)).toEqual([]);
  });

  test("blocked autoplay is paused but stays connected", () => {
    goLive();
    feed(epoch(2), { type: "autoplay", allowed: false });
    expect(machine.status.state).toBe("paused");
    expect(advance(RECONNECT_AFTER_MS * 2)).toEqual([]);
    feed({ type: "autoplay", allowed: true }, { type: "frame" });
    expect(machine.status.state).toBe("live");
  });
});

describe("over WebRTC", () => {
  test("a track is live with its first frame, without an epoch", () => {
    feed({ type: "visibility", visible: true }, { type: "opened" });
    expect(feed({ type: "track" })).toEqual([]);
    expect(machine.status.state).toBe("waiting");
    feed({ type: "frame" });
    expect(machine.status.state).toBe("live");
    advance(FROZEN_AFTER_MS + 250);
    expect(machine.status.state).toBe("waiting");
  });

  test("switches to the other transport at once", () => {
    feed({ type: "visibility", visible: true }, { type: "opened" }, { type: "track" });
    expect(feed({ type: "transport-changed" })).toEqual([
      { type: "disconnect" },
      { type: "connect" },
    ]);
    feed({ type: "opened" }, state("standby", "others are shown"));
    expect(machine.status).toEqual({ state: "standby", reason: "others are shown" });
  });

  test("does not switch while hidden", () => {
    feed({ type: "visibility", visible: true }, { type: "visibility", visible: false });
    expect(feed({ type: "transport-changed" })).toEqual([]);
  });
});
