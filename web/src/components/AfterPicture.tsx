import { type ReactNode, useEffect, useState } from "react";

/** While a page opens, its first video comes first, for this long at most. */
const OPENING_MS = 1_000;

/** Renders `children` once a video plays, so that a page that opens shows that first. */
export function AfterPicture({ children }: { children: ReactNode }) {
  const [due, setDue] = useState(() => performance.now() > OPENING_MS);
  useEffect(() => {
    if (due) return;
    const show = () => setDue(true);
    const timer = setTimeout(show, OPENING_MS - performance.now());
    // Media events don't bubble.
    document.addEventListener("playing", show, { capture: true });
    return () => {
      clearTimeout(timer);
      document.removeEventListener("playing", show, { capture: true });
    };
  }, [due]);
  return due ? children : null;
}
