import { Link } from "react-router";
import { useFeed } from "../api/queries";
import { streamPath } from "../streams/urls";
import { formatTime } from "./format";

/** Fleet events, newest first. */
export function EventFeed() {
  const { events, connected } = useFeed();
  return (
    <section className="card" aria-labelledby="events">
      <h2 id="events">Events</h2>
      {!connected && events.length > 0 && (
        <p className="detail">Not connected. Missed events are added after reconnecting.</p>
      )}
      {events.length === 0 && (
        <p className="empty">
          {connected ? "No events since this page was opened." : "Connecting…"}
        </p>
      )}
      <div
        className="scroll"
        role="log"
        aria-labelledby="events"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
        tabIndex={0}
      >
        <ol className="events">
          {events.map(({ id, at, kind, instance_id, message }) => (
            <li key={`${id} ${at}`} data-kind={kind}>
              <time dateTime={new Date(at * 1000).toISOString()}>{formatTime(at * 1000)}</time>
              <Message subject={instance_id} message={message} />
            </li>
          ))}
        </ol>
      </div>
    </section>
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
