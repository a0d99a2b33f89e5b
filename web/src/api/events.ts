/** What happened in the fleet, as it happens: server-sent events that end only with the page. */

import { useEffect, useState } from "react";
import type { FleetEvent } from "./schema";

export interface Events {
  /** Newest first. */
  events: readonly FleetEvent[];
  connected: boolean;
}

const ADDRESS = "/api/events";
const KEPT = 100;
/** Milliseconds. A browser gives up for good where something else answers in the server's place. */
const RETRY = 2_000;

/** Adds an event; one that is known already (the server repeats some after a reconnect) changes nothing. */
export function remember(known: readonly FleetEvent[], event: FleetEvent): readonly FleetEvent[] {
  if (known.some(({ id, at }) => id === event.id && at === event.at)) return known;
  return [event, ...known].sort((a, b) => b.at - a.at || b.id - a.id).slice(0, KEPT);
}

/** Listens until the function it returns is called. */
export function listen(
  heard: (event: FleetEvent) => void,
  linked: (connected: boolean) => void,
): () => void {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout>;
  const connect = () => {
    source = new EventSource(ADDRESS);
    source.onopen = () => linked(true);
    source.onmessage = ({ data }: MessageEvent<string>) => heard(JSON.parse(data) as FleetEvent);
    source.onerror = () => {
      linked(false);
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RETRY);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

export function useEvents(): Events {
  const [events, setEvents] = useState<readonly FleetEvent[]>([]);
  const [connected, setConnected] = useState(false);
  useEffect(
    () => listen((event) => setEvents((known) => remember(known, event)), setConnected),
    [],
  );
  return { events, connected };
}
