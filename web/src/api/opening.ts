/** What the server has put into the page's HTML, so that nothing waits for a first answer. */

import type { Opening } from "./schema";

function read(): Opening | null {
  if (typeof document === "undefined") return null;
  return JSON.parse(document.getElementById("opening")?.textContent ?? "null") as Opening | null;
}

/** The fleet when the page was opened; null where the page is served by another server. */
export const OPENING = read();
