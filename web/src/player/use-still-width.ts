import { type RefObject, useEffect, useState } from "react";

/** Widths of stills, pixels: a few, so that pages share them. */
const WIDTHS = [160, 320, 640, 1280] as const;

/** Return the smallest of the widths that fills an element of `width` CSS pixels. */
export function stillWidth(width: number, pixelRatio: number): number {
  return WIDTHS.find((each) => each >= width * pixelRatio) ?? 1280;
}

/** Return the width of the stills that an element can use, pixels. */
export function useStillWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState<number>(WIDTHS[1]);
  useEffect(() => {
    const measured = element.current;
    if (!measured) return;
    const measure = () => setWidth(stillWidth(measured.clientWidth, devicePixelRatio));
    const observer = new ResizeObserver(measure);
    observer.observe(measured);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
