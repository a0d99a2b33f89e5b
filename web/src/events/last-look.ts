/** Until when this browser has seen the events; on other devices their viewer has looked elsewhere. */

import { useEffect, useRef, useState } from "react";

const KEY = "metabonk.events-seen";

function read(): number | null {
  const stored = Number(localStorage.getItem(KEY) ?? Number.NaN);
  return Number.isFinite(stored) ? stored : null;
}

/**
 * Return until when events were seen before this page was opened, Unix time of the fleet's clock in
 * seconds; null on a first visit.
 *
 * @param newest time of the newest event that is shown; it is stored once the page is left
 */
export function useLastLook(newest: number | null): number | null {
  const [since] = useState(read);
  const shown = useRef(newest);
  shown.current = newest;
  useEffect(() => {
    const store = () => {
      if (shown.current !== null) localStorage.setItem(KEY, `${shown.current}`);
    };
    const onVisibility = () => {
      if (document.visibilityState === "hidden") store();
    };
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      store();
    };
  }, []);
  return since;
}
