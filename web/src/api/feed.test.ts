import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { makeFeatured, makeFleet, makeWorker } from "../testing/fixtures";
import { addEvent, applyChange, FEATURED_URL, FEED, FLEET_URL, followFleet } from "./feed";
import type { FleetEvent } from "./schema";

class FakeEventSource {
  static CLOSED = 2;
  static instances: FakeEventSource[] = [];
  readyState = 1;
  onmessage?: (event: { data: string }) => void;
  onerror?: () => void;
  onFleet?: (event: { data: string }) => void;
  close = vi.fn();
  constructor(readonly url: string) {
    FakeEventSource.instances.push(this);
  }
  addEventListener(_name: string, listener: (event: { data: string }) => void) {
    this.onFleet = listener;
  }
  say(change: object) {
    const whole = { fleet: {}, workers: {}, gone: [], featured: null, ...change };
    this.onFleet?.({ data: JSON.stringify(whole) });
  }
}

function newest(): FakeEventSource {
  return FakeEventSource.instances.at(-1) as FakeEventSource;
}

function event(id: number, at = id): FleetEvent {
  const message = `event ${id}`;
  return { id, at, kind: "live", severity: "info", instance_id: "omega-0", message };
}

const { workers, ...fields } = makeFleet([makeWorker(0), makeWorker(1)]);
const everything = { fleet: fields, workers };

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

test("only the newest thousand are kept", () => {
  const known = Array.from({ length: 1_300 }, (_, i) => event(i)).reduce(addEvent, []);
  expect(known).toHaveLength(1_000);
  expect(known.at(0)?.id).toBe(1_299);
});

test("a change leaves what it doesn't name, sets a field to null, and removes who is gone", () => {
  const before = makeFleet([makeWorker(0, { stream_error: "no encoder" }), makeWorker(1)]);
  const change = {
    fleet: { viewers: 2 },
    workers: { "omega-0": { step: 5, stream_error: null } },
    gone: ["omega-1"],
    featured: null,
  };
  expect(applyChange(before, change)).toEqual({
    ...before,
    viewers: 2,
    workers: { "omega-0": makeWorker(0, { step: 5 }) },
  });
});

test("changes reach the queries of fleet and featured workers", () => {
  const client = new QueryClient();
  const stop = followFleet(client);
  newest().say({ ...everything, featured: makeFeatured(["omega-0"]) });
  newest().say({ workers: { "omega-1": { step: 7 } } });
  expect(client.getQueryData([FLEET_URL])).toEqual(
    makeFleet([makeWorker(0), makeWorker(1, { step: 7 })]),
  );
  expect(client.getQueryData([FEATURED_URL])).toEqual(makeFeatured(["omega-0"]));
  stop();
  client.clear();
});

test("what a server says after a reconnect replaces what was known of workers", () => {
  const client = new QueryClient();
  const stop = followFleet(client);
  newest().say(everything);
  newest().say({ fleet: fields, workers: { "omega-0": makeWorker(0) } });
  expect(client.getQueryData([FLEET_URL])).toEqual(makeFleet([makeWorker(0)]));
  stop();
  client.clear();
});

test("events and the connection's state are reported until unsubscribed", () => {
  const client = new QueryClient();
  const stop = followFleet(client);
  const [source] = FakeEventSource.instances;
  source?.say(everything);
  source?.onmessage?.({ data: JSON.stringify(event(7)) });
  expect(client.getQueryData([FEED])).toEqual({ events: [event(7)], connected: true });
  source?.onerror?.();
  expect(client.getQueryData([FEED])).toEqual({ events: [event(7)], connected: false });
  stop();
  expect(source?.close).toHaveBeenCalledOnce();
  client.clear();
});

test("a connection that the browser gave up is reopened until unsubscribed", () => {
  const stop = followFleet(new QueryClient());
  for (let attempt = 1; attempt <= 3; attempt++) {
    const source = newest();
    source.readyState = FakeEventSource.CLOSED;
    source.onerror?.();
    vi.advanceTimersByTime(2_000);
    expect(FakeEventSource.instances).toHaveLength(attempt + 1);
  }
  stop();
  vi.advanceTimersByTime(60_000);
  expect(FakeEventSource.instances).toHaveLength(4);
});
