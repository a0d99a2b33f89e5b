/** What is awaited of processes that start, and for how long. */

import type { Start } from "../api/schema";
import { toSentence } from "../streams/stream-status";
import { formatDuration } from "./format";
import { Notice } from "./Notice";
import { StateTag } from "./StateTag";

/** Every process of a fleet that has just been started. */
export function Starting({ starting }: { starting: Record<string, Start> }) {
  return (
    <Notice title="The fleet is starting">
      <p>The picture appears here with the first worker, within a few seconds.</p>
      <StartList starting={starting} />
    </Notice>
  );
}

/** List of starts; renders nothing without any. */
export function StartList({ starting }: { starting: Record<string, Start> }) {
  const starts = Object.entries(starting);
  if (starts.length === 0) return null;
  return (
    <ul className="starts">
      {starts.map(([name, start]) => (
        <li key={name}>{describeStart(name, start)}</li>
      ))}
    </ul>
  );
}

/** Why a worker shows nothing yet. */
export function StartStatus({ name, start }: { name: string; start: Start }) {
  return (
    <p className="stream-status" role="status">
      <StateTag state="starting" />
      <span>{describeStart(name, start)}</span>
    </p>
  );
}

/** Describe a start in a sentence, with how long it has taken. */
export function describeStart(name: string, { reason, waited_s }: Start): string {
  return `${toSentence(`${name} ${reason}`)} ${formatDuration(waited_s)} so far.`;
}
