import { expect, test, vi } from "vitest";
import { ApiError, NetworkError } from "../api/client";
import { makeThought } from "../testing/fixtures";
import { fetchClip, fileName, onClock } from "./clip";

const HEADERS = {
  "Content-Disposition": 'attachment; filename="omega-0-doom-basic.mp4"',
  "X-Clip-Age": "0.25",
  "X-Clip-Begins-At": "104",
};

function serve(video: () => Response, track: () => Response): void {
  vi.stubGlobal(
    "fetch",
    vi.fn(async (url: string) => (url.includes("clip.json") ? track() : video())),
  );
}

const track = () =>
  Response.json({
    begins_at: 102,
    duration: 22,
    actions: ["left"],
    thoughts: [makeThought(3)],
  });
const refusal = () =>
  Response.json({ error: "no_clip_yet", message: "no picture is kept" }, { status: 503 });
const never = new AbortController().signal;

test("a clip has its name, its place in time and its thoughts", async () => {
  serve(() => new Response("video", { headers: HEADERS }), track);
  const before = performance.now();
  const clip = await fetchClip("omega-0", 20, never);
  expect(clip).toMatchObject({
    seconds: 20,
    fileName: "omega-0-doom-basic.mp4",
    actions: ["left"],
  });
  expect(clip.endedAt).toBeGreaterThanOrEqual(before - 250);
  expect(clip.endedAt).toBeLessThan(performance.now() - 249);
  // The video begins two seconds later than the track.
  expect(clip.thoughts.map(({ time }) => time)).toEqual([1]);
  URL.revokeObjectURL(clip.url);
});

test("without thoughts there is still a video", async () => {
  serve(() => new Response("video", { headers: HEADERS }), refusal);
  expect((await fetchClip("omega-0", 20, never)).thoughts).toEqual([]);
});

test("a refusal is passed on in words", async () => {
  serve(refusal, refusal);
  await expect(fetchClip("omega-0", 20, never)).rejects.toThrow(ApiError);
  await expect(fetchClip("omega-0", 20, never)).rejects.toThrow("no picture is kept");
});

test("a worker that is down is named", async () => {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => Promise.reject(new TypeError("Failed to fetch"))),
  );
  await expect(fetchClip("omega-0", 20, never)).rejects.toThrow(NetworkError);
  await expect(fetchClip("omega-0", 20, never)).rejects.toThrow("omega-0 does not answer.");
});

test("thoughts are on the clock of the video", () => {
  const thoughts = [makeThought(0.5), makeThought(1)];
  const moved = onClock({ begins_at: 10, duration: 5, actions: [], thoughts }, 9.5);
  expect(moved.map(({ time }) => time)).toEqual([1, 1.5]);
});

test("a header without a name gives one", () => {
  expect(fileName(null)).toBe("clip.mp4");
});
