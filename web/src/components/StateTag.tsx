import type { StreamState } from "../api/schema";

/** A worker's stream state as a word with a dot; the colour only repeats the word. */
export function StateTag({ state }: { state: StreamState }) {
  return (
    <span className="state-tag" data-state={state}>
      {state}
    </span>
  );
}
