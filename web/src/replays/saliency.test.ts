import { afterEach, expect, test, vi } from "vitest";
import { ApiError, NetworkError } from "../api/client";
import type { ReplaySaliency } from "../api/schema";
import { makeReplaySaliency } from "../testing/fixtures";
import { readSaliency, saliencyAt } from "./saliency";

const MAPS = [0, 0.25, 0.5].map((time) => makeReplaySaliency(time));
const TEXT = MAPS.map((map) => `${JSON.stringify(map)}\n`).join("");

afterEach(() => vi.unstubAllGlobals());

/** Answer with these parts, and then end, or break off. */
function respondWith(parts: string[], breaksOff = false): void {
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const part = parts.shift();
      if (part !== undefined) controller.enqueue(new TextEncoder().encode(part));
      else if (breaksOff) controller.error(new TypeError("network error"));
      else controller.close();
    },
  });
  vi.stubGlobal("fetch", async () => new Response(body));
}

async function read(): Promise<(readonly ReplaySaliency[])[]> {
  const calls: (readonly ReplaySaliency[])[] = [];
  await readSaliency("maps", new AbortController().signal, (maps) => calls.push(maps));
  return calls;
}

test("maps come as they are made, also where a line arrives in pieces", async () => {
  const middle = TEXT.indexOf("0.25");
  respondWith([TEXT.slice(0, middle), TEXT.slice(middle)]);
  expect(await read()).toEqual([MAPS.slice(0, 1), MAPS]);
});

test("an empty answer has no maps", async () => {
  respondWith([]);
  expect(await read()).toEqual([]);
});

test("an answer that breaks off is an error", async () => {
  respondWith([TEXT], true);
  await expect(read()).rejects.toThrow(NetworkError);
});

test("a refusal is an error with the explanation", async () => {
  const refusal = { error: "replay_differs", message: "the reward was another" };
  vi.stubGlobal("fetch", async () => Response.json(refusal, { status: 409 }));
  await expect(read()).rejects.toThrow(new ApiError(409, "the reward was another"));
});

test("the map of a frame is the last one before it", () => {
  expect([-1, 0, 0.2, 0.249, 0.4, 9].map((time) => saliencyAt(MAPS, time)?.time)).toEqual([
    undefined,
    0,
    0,
    0.25,
    0.25,
    0.5,
  ]);
});
