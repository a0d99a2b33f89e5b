/** The fleet and its events as they happen, delivered as server-sent events on one connection. */

import type { QueryClient } from "@tanstack/react-query";
import { API } from "./base-path";
import { OPENING } from "./opening";
import type { Featured, Fleet, FleetChange, FleetEvent, WorkerStatus } from "./schema";

export const FLEET_URL = `${API}/fleet`;
export const FEATURED_URL = `${API}/featured`;
export const FEED = "feed";

export interface Feed {
  /** Newest first. */
  events: readonly FleetEvent[];
  connected: boolean;
}

export const SILENT: Feed = { events: [], connected: false };

const EVENTS_URL = `${API}/events?fleet=true`;
const MAX_EVENTS = 1_000;
/** A browser gives up for good when another server answers in the orchestrator's place. */
const RETRY_MS = 2_000;

/** Insert an event, ignoring the ones that the server repeats after a reconnect. */
export function addEvent(known: readonly FleetEvent[], event: FleetEvent): readonly FleetEvent[] {
  if (known.some(({ id, at }) => id === event.id && at === event.at)) return known;
  return [event, ...known].sort((a, b) => b.at - a.at || b.id - a.id).slice(0, MAX_EVENTS);
}

/** Return the fleet after a change; the first change of a connection has everything. */
export function applyChange(
  fleet: Fleet | undefined,
  { fleet: fields, workers: changed, gone }: FleetChange,
): Fleet {
  const workers: Record<string, WorkerStatus> = { ...fleet?.workers };
  for (const [name, changes] of Object.entries(changed))
    workers[name] = { ...workers[name], ...changes } as WorkerStatus;
  for (const name of gone) delete workers[name];
  return { ...fleet, ...fields, workers } as Fleet;
}

/** Keep the fleet's queries up to date until the returned function is called. */
export function followFleet(client: QueryClient): () => void {
  if (OPENING) {
    client.setQueryData<Fleet>([FLEET_URL], OPENING.fleet);
    client.setQueryData<Featured>([FEATURED_URL], OPENING.featured);
  }
  const change = (update: (feed: Feed) => Feed) =>
    client.setQueryData<Feed>([FEED], (feed = SILENT) => update(feed));
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout>;
  const connect = () => {
    let fleet: Fleet | undefined;
    source = new EventSource(EVENTS_URL);
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const event = JSON.parse(data) as FleetEvent;
      change((feed) => ({ ...feed, events: addEvent(feed.events, event) }));
    };
    source.addEventListener("fleet", ({ data }: MessageEvent<string>) => {
      const news = JSON.parse(data) as FleetChange;
      // A browser that connects again is told everything, as a new one is.
      fleet = applyChange("run" in news.fleet ? undefined : fleet, news);
      client.setQueryData<Fleet>([FLEET_URL], fleet);
      if (news.featured) client.setQueryData<Featured>([FEATURED_URL], news.featured);
      change((feed) => (feed.connected ? feed : { ...feed, connected: true }));
    });
    source.onerror = () => {
      change((feed) => ({ ...feed, connected: false }));
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RETRY_MS);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
