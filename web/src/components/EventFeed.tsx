import { Link } from "react-router";
import { type Events, useEvents } from "../api/events";
import { streamPage } from "../streams/urls";
import { clock } from "./format";

/** What happened in the fleet, newest first. */
export function EventFeed() {
  const { events, connected }: Events = useEvents();
  return (
    <section className="card" aria-labelledby="events">
      <h2 id="events">Events</h2>
      {!connected && events.length > 0 && (
        <p className="detail">Not connected; what happens meanwhile is added afterwards.</p>
      )}
      {events.length === 0 && (
        <p className="empty">
          {connected ? "Nothing has happened since this page came." : "Waiting for the first one."}
        </p>
      )}
      <div
        className="scroll"
        role="log"
        aria-labelledby="events"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
        tabIndex={0}
      >
        <ol className="events">
          {events.map(({ id, at, kind, instance_id, message }) => (
            <li key={`${id} ${at}`} data-kind={kind}>
              <time dateTime={new Date(at * 1000).toISOString()}>{clock(at * 1000)}</time>
              <Message subject={instance_id} message={message} />
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

/** The worker's name in it leads to its picture. */
function Message({ subject, message }: { subject: string; message: string }) {
  if (!message.startsWith(`${subject} `) || subject === "learner") return <span>{message}</span>;
  return (
    <span>
      <Link to={streamPage(subject)}>{subject}</Link>
      {message.slice(subject.length)}
    </span>
  );
}
