import { useEffect, useRef } from "react";
import { useLog } from "../api/queries";

/** A reader scrolled to within this distance of the end follows new lines. */
const FOLLOW_MARGIN_PX = 24;

/** End of a worker's log; follows new lines unless the reader has scrolled up. */
export function LogTail({ worker }: { worker: string }) {
  const { data: log, error } = useLog(worker);
  const box = useRef<HTMLElement>(null);
  const following = useRef(true);
  const lines = log?.lines;

  useEffect(() => {
    if (lines && following.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);

  return (
    <section className="card" aria-labelledby="log">
      <h2 id="log">Log</h2>
      {lines && lines.length > 0 ? (
        <section
          className="log"
          ref={box}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
          tabIndex={0}
          aria-label={`Last lines of ${worker}'s log`}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
            following.current = scrollHeight - scrollTop - clientHeight < FOLLOW_MARGIN_PX;
          }}
        >
          <pre>{lines.join("\n")}</pre>
        </section>
      ) : (
        <p className="empty">{emptyText(lines, error)}</p>
      )}
    </section>
  );
}

function emptyText(lines: string[] | undefined, error: Error | null): string {
  if (lines) return "The log is empty.";
  return error ? `Could not load the log: ${error.message}.` : "Loading the log…";
}
