/** Saliency maps as pixels to overlay on the video. */

import type { SaliencyMessage } from "../api/schema";

/** A map, live or in a replay. */
export type SaliencyCells = Pick<SaliencyMessage, "columns" | "rows" | "cells">;

const TINT_RGB = [120, 255, 214] as const;
/** Alpha of the most salient cell, of 255: the video stays visible underneath. */
const MAX_ALPHA = 190;

/** Return the map as row-major RGBA, `columns × rows`; alpha grows with saliency. */
export function saliencyPixels({
  columns,
  rows,
  cells,
}: SaliencyCells): Uint8ClampedArray<ArrayBuffer> {
  const values = Uint8Array.from(atob(cells), (character) => character.charCodeAt(0));
  const pixels = new Uint8ClampedArray(columns * rows * 4);
  for (let cell = 0; cell < columns * rows; cell++) {
    const share = (values[cell] ?? 0) / 255;
    pixels.set([...TINT_RGB, share * MAX_ALPHA], cell * 4);
  }
  return pixels;
}

/** Draw the map over the whole canvas, smoothing between cells. */
export function drawSaliency(canvas: HTMLCanvasElement, message: SaliencyCells): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const small = document.createElement("canvas");
  small.width = message.columns;
  small.height = message.rows;
  const pixels = new ImageData(saliencyPixels(message), message.columns, message.rows);
  small.getContext("2d")?.putImageData(pixels, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
