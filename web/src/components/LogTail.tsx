import { useEffect, useRef } from "react";
import { useLog } from "../api/queries";

/** Pixels from the end within which a reader is taken to follow it. */
const AT_END = 24;

/** The end of a worker's log; it follows what is written unless somebody reads further up. */
export function LogTail({ worker }: { worker: string }) {
  const { data: log, error } = useLog(worker);
  const box = useRef<HTMLElement>(null);
  const follows = useRef(true);
  const lines = log?.lines;

  useEffect(() => {
    if (lines && follows.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);

  return (
    <section className="card" aria-labelledby="log">
      <h2 id="log">Log</h2>
      {lines && lines.length > 0 ? (
        <section
          className="log"
          ref={box}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys
          tabIndex={0}
          aria-label={`Last lines of ${worker}'s log`}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
            follows.current = scrollHeight - scrollTop - clientHeight < AT_END;
          }}
        >
          <pre>{lines.join("\n")}</pre>
        </section>
      ) : (
        <p className="empty">{wordsFor(lines, error)}</p>
      )}
    </section>
  );
}

function wordsFor(lines: string[] | undefined, error: Error | null): string {
  if (lines) return "Nothing is written yet.";
  return error ? `It can't be read now: ${error.message}.` : "Asking for its last lines.";
}
