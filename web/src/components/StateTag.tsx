import type { StreamState } from "../api/schema";

/** Stream state of a worker; the color of the dot only repeats the word. */
export function StateTag({ state }: { state: StreamState }) {
  return (
    <span className="state-tag" data-state={state}>
      {state}
    </span>
  );
}
