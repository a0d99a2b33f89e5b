import { type RefObject, useEffect, useLayoutEffect, useState } from "react";

/** Pixels: playback starts before an element scrolls into view, so that the picture is there. */
const MARGIN = 200;

/** Whether the element is on the screen of somebody who looks: in view, in a tab that is shown. */
export function useWatched(element: RefObject<Element | null>): boolean {
  const [inView, setInView] = useState(false);
  const [shown, setShown] = useState(() => !document.hidden);

  useLayoutEffect(() => {
    if (!element.current) return;
    // An observer tells only with the next painted frame, and the connection need not wait for it.
    setInView(isNear(element.current.getBoundingClientRect()));
    const observer = new IntersectionObserver(
      (entries) => setInView(entries.at(-1)?.isIntersecting ?? false),
      { rootMargin: `${MARGIN}px` },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);

  useEffect(() => {
    const update = () => setShown(!document.hidden);
    document.addEventListener("visibilitychange", update);
    return () => document.removeEventListener("visibilitychange", update);
  }, []);

  return inView && shown;
}

function isNear({ top, bottom }: DOMRect): boolean {
  return top < window.innerHeight + MARGIN && bottom > -MARGIN;
}
