import { type RefObject, useEffect, useLayoutEffect, useState } from "react";

/** Start playback this far outside the viewport, so that video is there once it scrolls in. */
const MARGIN_PX = 200;

/** Return whether the element is in or near the viewport of a visible tab. */
export function useVisible(element: RefObject<Element | null>): boolean {
  const [inView, setInView] = useState(false);
  const [tabVisible, setTabVisible] = useState(() => !document.hidden);

  useLayoutEffect(() => {
    if (!element.current) return;
    // The observer reports only after the next paint; the connection need not wait for that.
    setInView(isNearViewport(element.current.getBoundingClientRect()));
    const observer = new IntersectionObserver(
      (entries) => setInView(entries.at(-1)?.isIntersecting ?? false),
      { rootMargin: `${MARGIN_PX}px` },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);

  useEffect(() => {
    const update = () => setTabVisible(!document.hidden);
    document.addEventListener("visibilitychange", update);
    return () => document.removeEventListener("visibilitychange", update);
  }, []);

  return inView && tabVisible;
}

function isNearViewport({ top, bottom }: DOMRect): boolean {
  return top < window.innerHeight + MARGIN_PX && bottom > -MARGIN_PX;
}
