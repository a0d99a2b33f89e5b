/** Events as a reader wants them: the noise of rotations folded, and since when they are new. */

import type { FleetEvent, Severity } from "../api/schema";

/** Of one rotation or a few, each event is shown. */
const FEWEST_FOLDED = 4;
const ROTATES: ReadonlySet<FleetEvent["kind"]> = new Set(["live", "standby"]);
const SEVERITIES: readonly Severity[] = ["info", "warning", "critical"];

/** An event, or several in a row that only say who is live. */
export type Entry = FleetEvent | Rotations;

export interface Rotations {
  /** Newest first. */
  rotations: FleetEvent[];
}

export function isRotations(entry: Entry): entry is Rotations {
  return "rotations" in entry;
}

/** Return the entries, newest first, with rotations folded on either side of `since`. */
export function foldRotations(events: readonly FleetEvent[], since: number | null): Entry[] {
  const entries: Entry[] = [];
  let row: FleetEvent[] = [];
  const endRow = () => {
    if (row.length >= FEWEST_FOLDED) entries.push({ rotations: row });
    else entries.push(...row);
    row = [];
  };
  for (const event of events) {
    const last = row.at(-1);
    if (!ROTATES.has(event.kind) || (last && isNew(last, since) !== isNew(event, since))) endRow();
    if (ROTATES.has(event.kind)) row.push(event);
    else entries.push(event);
  }
  endRow();
  return entries;
}

/** Return when the newest event of an entry happened, Unix time in seconds. */
export function newest(entry: Entry): FleetEvent {
  return isRotations(entry) ? (entry.rotations[0] as FleetEvent) : entry;
}

/** Return how many workers went live. */
export function countRotations({ rotations }: Rotations): number {
  return rotations.filter(({ kind }) => kind === "live").length;
}

/** Return whether an event is newer than what was seen; without that, nothing is new. */
export function isNew({ at }: FleetEvent, since: number | null): boolean {
  return since !== null && at > since;
}

export function hasSeverity(event: FleetEvent, least: Severity): boolean {
  return SEVERITIES.indexOf(event.severity) >= SEVERITIES.indexOf(least);
}

/** Describe what is new: "1 critical, 2 warnings, 12 rotations, 3 others"; null: nothing. */
export function summarize(events: readonly FleetEvent[], since: number | null): string | null {
  const news = events.filter((event) => isNew(event, since));
  const count = (has: (event: FleetEvent) => boolean) => news.filter(has).length;
  const rotates = ({ kind }: FleetEvent) => ROTATES.has(kind);
  const parts = [
    [count(({ severity }) => severity === "critical"), "critical", "critical"],
    [count(({ severity }) => severity === "warning"), "warning", "warnings"],
    [count(({ kind }) => kind === "live"), "rotation", "rotations"],
    [count((event) => event.severity === "info" && !rotates(event)), "other", "others"],
  ] as const;
  const told = parts.filter(([number]) => number > 0);
  if (told.length === 0) return null;
  return told.map(([number, one, many]) => `${number} ${number === 1 ? one : many}`).join(", ");
}
