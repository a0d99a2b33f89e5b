/** What the header of every page says. */

import type { Fleet } from "./api/schema";
import { isHub } from "./streams/workers";

export interface SitePage {
  path: string;
  name: string;
}

const PAGES: readonly SitePage[] = [
  { path: "/", name: "Fleet" },
  { path: "/neural/broadcast", name: "Broadcast" },
  { path: "/wall", name: "Wall" },
  { path: "/runs", name: "Runs" },
];
/** A hub trains nothing, so it has no runs. */
const HUB_PAGES: readonly SitePage[] = [
  { path: "/neural/broadcast", name: "Broadcast" },
  { path: "/wall", name: "Wall" },
  { path: "/", name: "Environments" },
];

/** Return the pages that the header leads to. */
export function pagesOf(fleet: Fleet | undefined): readonly SitePage[] {
  return fleet && isHub(fleet) ? HUB_PAGES : PAGES;
}

/** Return what the fleet does, its game and its run; null for a hub, which has none. */
export function describeRun(fleet: Fleet): [mode: string, game: string, run: string] | null {
  if (fleet.game === null) return null;
  return [fleet.mode === "train" ? "training" : "playing", fleet.game, `run ${fleet.run}`];
}
