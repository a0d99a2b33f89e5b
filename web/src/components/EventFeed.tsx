import { useState } from "react";
import { Link } from "react-router";
import { useEarlierEvents, useFeed } from "../api/queries";
import type { FleetEvent, Severity } from "../api/schema";
import {
  countRotations,
  type Entry,
  foldRotations,
  hasSeverity,
  isNew,
  isRotations,
  newest,
  type Rotations,
  summarize,
} from "../events/history";
import { useLastLook } from "../events/last-look";
import { streamPath } from "../streams/urls";
import { formatDateTime, formatTime } from "./format";

const FILTERS: readonly { severity: Severity; name: string }[] = [
  { severity: "info", name: "All" },
  { severity: "warning", name: "Warnings and worse" },
  { severity: "critical", name: "Critical" },
];

/** Fleet events, newest first, with what is new since this browser showed them last. */
export function EventFeed() {
  const { events: recent, connected } = useFeed();
  const [severity, setSeverity] = useState<Severity>("info");
  const earlier = useEarlierEvents(severity, recent.at(-1)?.id ?? 0);
  const since = useLastLook(recent[0]?.at ?? null);
  const wanted = recent.filter((event) => hasSeverity(event, severity));
  const entries = foldRotations([...wanted, ...(earlier.data?.pages.flat() ?? [])], since);
  const news = summarize(recent, since);
  return (
    <section className="card" aria-labelledby="events">
      <div className="page-title">
        <h2 id="events">Events</h2>
        <label className="detail">
          Show{" "}
          <select
            className="field"
            value={severity}
            onChange={({ target }) => setSeverity(target.value as Severity)}
          >
            {FILTERS.map(({ severity, name }) => (
              <option key={severity} value={severity}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      {news && <p>Since you last looked: {news}.</p>}
      {!connected && recent.length > 0 && (
        <p className="detail">Not connected. Missed events are added after reconnecting.</p>
      )}
      {entries.length === 0 && (
        <p className="empty">{connected ? "No such events yet." : "Connecting…"}</p>
      )}
      <div
        className="scroll"
        role="log"
        aria-labelledby="events"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
        tabIndex={0}
      >
        <ol className="events">
          {entries.map((entry) => (
            <Row key={keyOf(entry)} entry={entry} fresh={isNew(newest(entry), since)} />
          ))}
        </ol>
        {recent.length > 0 && (!earlier.data || earlier.hasNextPage) && (
          <button type="button" className="button" onClick={() => void earlier.fetchNextPage()}>
            {earlier.isFetching ? "Loading…" : "Earlier events"}
          </button>
        )}
        {earlier.error && <p className="detail">{earlier.error.message}</p>}
      </div>
    </section>
  );
}

/** Return a key that stays while newer rotations are folded into the same entry. */
function keyOf(entry: Entry): string {
  const { id, at } = isRotations(entry) ? (entry.rotations.at(-1) as FleetEvent) : entry;
  return `${id} ${at}`;
}

function Row({ entry, fresh }: { entry: Entry; fresh: boolean }) {
  const { at, kind, severity } = newest(entry);
  return (
    <li data-kind={kind} data-severity={severity} data-new={fresh}>
      <Time at={at} />
      {isRotations(entry) ? (
        <Folded entry={entry} />
      ) : (
        <Message subject={entry.instance_id} message={entry.message} />
      )}
    </li>
  );
}

function Folded({ entry }: { entry: Rotations }) {
  return (
    <details>
      <summary>{countRotations(entry)} rotations</summary>
      <ol className="events">
        {entry.rotations.map(({ id, at, instance_id, message }) => (
          <li key={`${id} ${at}`}>
            <Time at={at} />
            <Message subject={instance_id} message={message} />
          </li>
        ))}
      </ol>
    </details>
  );
}

/** Time of an event, and its day where that is not today. */
function Time({ at }: { at: number }) {
  const date = new Date(at * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  return (
    <time dateTime={date.toISOString()}>
      {isToday ? formatTime(at * 1000) : formatDateTime(at * 1000)}
    </time>
  );
}

/** Message that links the worker it is about to its stream. */
function Message({ subject, message }: { subject: string; message: string }) {
  if (!message.startsWith(`${subject} `) || subject === "learner") return <span>{message}</span>;
  return (
    <span>
      <Link to={streamPath(subject)}>{subject}</Link>
      {message.slice(subject.length)}
    </span>
  );
}
