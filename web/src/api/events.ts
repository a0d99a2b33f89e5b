/** Fleet events, delivered as server-sent events. */

import { useEffect, useState } from "react";
import { API } from "./base-path";
import type { FleetEvent } from "./schema";

export interface FleetEvents {
  /** Newest first. */
  events: readonly FleetEvent[];
  connected: boolean;
}

const EVENTS_URL = `${API}/events`;
const MAX_EVENTS = 100;
/** A browser gives up for good when another server answers in the orchestrator's place. */
const RETRY_MS = 2_000;

/** Insert an event, ignoring the ones that the server repeats after a reconnect. */
export function addEvent(known: readonly FleetEvent[], event: FleetEvent): readonly FleetEvent[] {
  if (known.some(({ id, at }) => id === event.id && at === event.at)) return known;
  return [event, ...known].sort((a, b) => b.at - a.at || b.id - a.id).slice(0, MAX_EVENTS);
}

/** Subscribe to the event stream, reconnecting until the returned function is called. */
export function subscribeToEvents(
  onEvent: (event: FleetEvent) => void,
  onConnected: (connected: boolean) => void,
): () => void {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout>;
  const connect = () => {
    source = new EventSource(EVENTS_URL);
    source.onopen = () => onConnected(true);
    source.onmessage = ({ data }: MessageEvent<string>) => onEvent(JSON.parse(data) as FleetEvent);
    source.onerror = () => {
      onConnected(false);
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RETRY_MS);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

export function useFleetEvents(): FleetEvents {
  const [events, setEvents] = useState<readonly FleetEvent[]>([]);
  const [connected, setConnected] = useState(false);
  useEffect(
    () => subscribeToEvents((event) => setEvents((known) => addEvent(known, event)), setConnected),
    [],
  );
  return { events, connected };
}
