/** What a clean view, as for OBS, shows over the video: `?clean=1&overlay=actions,return,curve`. */

export const OVERLAY_PARTS = ["actions", "return", "curve"] as const;
export type OverlayPart = (typeof OVERLAY_PARTS)[number];

/**
 * Return the parts that an address asks for.
 *
 * @returns null where it does not say, and everything else decides
 */
export function overlayParts(query: URLSearchParams): OverlayPart[] | null {
  const asked = query.get("overlay")?.split(",");
  return asked ? OVERLAY_PARTS.filter((part) => asked.includes(part)) : null;
}
