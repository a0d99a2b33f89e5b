/** How the tiles of a broadcast are laid out. */

/**
 * Arrangement of the tiles: the one on stage with all others beside it; with as many as fit beside
 * it; or all alike, with the one on stage above them on request.
 */
export type Arrangement = "broadcast" | "home" | "wall";

/** With more workers their tiles take the place of what else could be beside the stage. */
export const FEW_WORKERS = 3;
/** Tiles beside the stage of the first page: as many as fit into its height. */
const BESIDE_STAGE = 6;
/** Up to so many tiles beside the stage are in one column. */
const ONE_COLUMN = 4;

/** Return how many tiles are beside the stage, of so many other workers. */
export function tilesBeside(others: number, arrangement: Arrangement): number {
  return arrangement === "home" ? Math.min(others, BESIDE_STAGE) : others;
}

/** Return how the tiles beside the stage are laid out. */
export function rail(
  tiles: number,
  arrangement: Arrangement,
): "none" | "wide" | "single" | "double" {
  if (tiles === 0) return "none";
  if (tiles < FEW_WORKERS) return "wide";
  return arrangement === "home" || tiles > ONE_COLUMN ? "double" : "single";
}
