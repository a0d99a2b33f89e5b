import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { addEvent, subscribeToEvents } from "./events";
import type { FleetEvent } from "./schema";

class FakeEventSource {
  static CLOSED = 2;
  static instances: FakeEventSource[] = [];
  readyState = 1;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onerror?: () => void;
  close = vi.fn();
  constructor(readonly url: string) {
    FakeEventSource.instances.push(this);
  }
}

function event(id: number, at = id): FleetEvent {
  return { id, at, kind: "live", instance_id: "omega-0", message: `event ${id}` };
}

beforeEach(() => {
  FakeEventSource.instances = [];
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", FakeEventSource);
});

afterEach(() => {
  vi.useRealTimers();
});

test("events are ordered newest first, and repeats after a reconnect are ignored", () => {
  const known = [event(1), event(3), event(2), event(3)].reduce(addEvent, []);
  expect(known.map(({ id }) => id)).toEqual([3, 2, 1]);
});

test("a restarted orchestrator reuses ids for new events", () => {
  expect(addEvent([event(1, 100)], event(1, 200))).toHaveLength(2);
});

test("only the newest hundred are kept", () => {
  const known = Array.from({ length: 300 }, (_, i) => event(i)).reduce(addEvent, []);
  expect(known).toHaveLength(100);
  expect(known.at(0)?.id).toBe(299);
});

test("events and connection changes are reported until unsubscribed", () => {
  const onEvent = vi.fn();
  const onConnected = vi.fn();
  const unsubscribe = subscribeToEvents(onEvent, onConnected);
  const [source] = FakeEventSource.instances;
  source?.onopen?.();
  source?.onmessage?.({ data: JSON.stringify(event(7)) });
  source?.onerror?.();
  expect(onEvent).toHaveBeenCalledExactlyOnceWith(event(7));
  expect(onConnected.mock.calls).toEqual([[true], [false]]);
  unsubscribe();
  expect(source?.close).toHaveBeenCalledOnce();
});

test("a connection that the browser gave up is reopened until unsubscribed", () => {
  const unsubscribe = subscribeToEvents(vi.fn(), vi.fn());
  for (let attempt = 1; attempt <= 3; attempt++) {
    const source = FakeEventSource.instances.at(-1) as FakeEventSource;
    source.readyState = FakeEventSource.CLOSED;
    source.onerror?.();
    vi.advanceTimersByTime(2_000);
    expect(FakeEventSource.instances).toHaveLength(attempt + 1);
  }
  unsubscribe();
  vi.advanceTimersByTime(60_000);
  expect(FakeEventSource.instances).toHaveLength(4);
});
