import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { listen, remember } from "./events";
import type { FleetEvent } from "./schema";

class FakeEventSource {
  static CLOSED = 2;
  static all: FakeEventSource[] = [];
  readyState = 1;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onerror?: () => void;
  close = vi.fn();
  constructor(readonly address: string) {
    FakeEventSource.all.push(this);
  }
}

function event(id: number, at = id): FleetEvent {
  return { id, at, kind: "live", instance_id: "omega-0", message: `event ${id}` };
}

beforeEach(() => {
  FakeEventSource.all = [];
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", FakeEventSource);
});

afterEach(() => {
  vi.useRealTimers();
});

test("the newest is first, and what is repeated after a reconnect is shown once", () => {
  const known = [event(1), event(3), event(2), event(3)].reduce(remember, []);
  expect(known.map(({ id }) => id)).toEqual([3, 2, 1]);
});

test("a new orchestrator counts from one again, and its events are new ones", () => {
  expect(remember([event(1, 100)], event(1, 200))).toHaveLength(2);
});

test("no more than a hundred are kept", () => {
  const known = Array.from({ length: 300 }, (_, i) => event(i)).reduce(remember, []);
  expect(known).toHaveLength(100);
  expect(known.at(0)?.id).toBe(299);
});

test("it tells what it hears, and whether it hears", () => {
  const heard = vi.fn();
  const linked = vi.fn();
  const leave = listen(heard, linked);
  const [source] = FakeEventSource.all;
  source?.onopen?.();
  source?.onmessage?.({ data: JSON.stringify(event(7)) });
  source?.onerror?.();
  expect(heard).toHaveBeenCalledExactlyOnceWith(event(7));
  expect(linked.mock.calls).toEqual([[true], [false]]);
  leave();
  expect(source?.close).toHaveBeenCalledOnce();
});

test("where the browser gave up, a new connection is made, for as long as somebody listens", () => {
  const leave = listen(vi.fn(), vi.fn());
  for (let attempt = 1; attempt <= 3; attempt++) {
    const source = FakeEventSource.all.at(-1) as FakeEventSource;
    source.readyState = FakeEventSource.CLOSED;
    source.onerror?.();
    vi.advanceTimersByTime(2_000);
    expect(FakeEventSource.all).toHaveLength(attempt + 1);
  }
  leave();
  vi.advanceTimersByTime(60_000);
  expect(FakeEventSource.all).toHaveLength(4);
});
