/** Where the network looks, as pixels to lay over the picture. */

import type { AttentionMessage } from "../api/schema";

/** Colour of what is looked at most, and how much of the picture it hides. */
const TINT = [120, 255, 214] as const;
const STRONGEST = 190;

/** RGBA, row-major, `columns × rows`: the less it is looked at, the more the picture shows. */
export function heatOf({ columns, rows, cells }: AttentionMessage): Uint8ClampedArray<ArrayBuffer> {
  const looked = Uint8Array.from(atob(cells), (character) => character.charCodeAt(0));
  const pixels = new Uint8ClampedArray(columns * rows * 4);
  for (let cell = 0; cell < columns * rows; cell++) {
    const share = (looked[cell] ?? 0) / 255;
    pixels.set([...TINT, share * STRONGEST], cell * 4);
  }
  return pixels;
}

/** Draws it over the whole canvas, its cells blended into each other. */
export function drawHeat(canvas: HTMLCanvasElement, message: AttentionMessage): void {
  const context = canvas.getContext("2d");
  const small = document.createElement("canvas");
  small.width = message.columns;
  small.height = message.rows;
  const pixels = new ImageData(heatOf(message), message.columns, message.rows);
  small.getContext("2d")?.putImageData(pixels, 0, 0);
  if (!context) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
