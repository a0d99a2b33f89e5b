import { fireEvent, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { curveOf, episodeOf, featuredOf, fleetOf, poolOf, workerStatus } from "../testing/fixtures";

// A plot needs a canvas and a player needs video; each has tests of its own.
vi.mock("../components/Plot", () => ({
  Plot: ({ label }: { label: string }) => <p>{label}</p>,
}));
vi.mock("../player/Player", () => ({
  Player: ({ worker, attention }: { worker: string; attention?: boolean }) => (
    <p>
      player of {worker}
      {attention && " with attention"}
    </p>
  ),
  toggleFullscreen: () => {},
}));
withOrchestrator();

const live = workerStatus(0, {
  stream_state: "live",
  stream_backend: "av:libx264",
  stream_active_clients: 2,
});

test("has the player and the worker's own figures", async () => {
  say("/api/worker/omega-0/status", { ...live, stream_bitrate: 4_100_000, frames_dropped: 3 });
  open("/stream?worker=omega-0");
  expect(screen.getByText("player of omega-0")).toBeTruthy();
  expect(await screen.findByText("4.1 Mbit/s")).toBeTruthy();
  expect(screen.getByText("of 3; – here")).toBeTruthy();
  expect(screen.getByText("software")).toBeTruthy();
  expect(screen.getByText("held in this player")).toBeTruthy();
});

test("says which slot the software encoder holds", async () => {
  const holder = { slot: 1, instance_id: "omega-0", gpu_index: null, pid: 1_000, ours: true };
  say("/api/worker/omega-0/status", live);
  say("/api/sessions", [poolOf({ used: 1, limit: 2, holders: [holder] })]);
  open("/stream?worker=omega-0");
  expect(await screen.findByText("software, slot 1")).toBeTruthy();
});

test("says what the stream is, and why it is less than was wanted", async () => {
  const quality = "640×360 at 20 frames/s instead of 1280×720 at 30: this machine can't keep up";
  const shown = { spectator_width: 640, spectator_height: 360, stream_target_fps: 20 };
  say("/api/worker/omega-0/status", {
    ...live,
    ...shown,
    frames_fps: 19.8,
    stream_quality: quality,
  });
  open("/stream?worker=omega-0");
  expect(await screen.findByText(`${quality}.`)).toBeTruthy();
  expect(screen.getByText("640 × 360")).toBeTruthy();
  expect(screen.getByText("drawn at 256 × 144")).toBeTruthy();
  expect(screen.getByText("19.8 drawn of 20")).toBeTruthy();
});

test("lets one choose when no worker is named", async () => {
  say("/api/fleet", fleetOf([live]));
  open("/stream");
  expect(await screen.findByRole("link", { name: "omega-0" })).toBeTruthy();
});

test("an unknown worker is said to be unknown, and the others are offered", async () => {
  const body = { error: "unknown_worker", message: "There is only omega-0." };
  say("/api/worker/omega-9/status", body, 404);
  say("/api/fleet", fleetOf([live]));
  open("/stream?worker=omega-9");
  expect(await screen.findByText("There is no worker omega-9")).toBeTruthy();
  expect(screen.getByText("There is only omega-0.")).toBeTruthy();
  expect(await screen.findByRole("link", { name: "omega-0" })).toBeTruthy();
});

test("keeps the player and the last figures while the worker restarts", async () => {
  say("/api/worker/omega-0/status", { ...live, step: 4_321 });
  open("/stream?worker=omega-0");
  await screen.findByText("4,321");
  const body = { error: "worker_gone", message: "omega-0 is being restarted." };
  say("/api/worker/omega-0/status", body, 503);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await screen.findByText(/omega-0 is being restarted/)).toBeTruthy();
  expect(screen.getByText("4,321")).toBeTruthy();
  expect(screen.getByText("player of omega-0")).toBeTruthy();
});

test("has its returns, its last episodes and the end of its log", async () => {
  say("/api/worker/omega-0/status", live);
  say("/api/curve?points=2000&worker=0", curveOf(-300, 80));
  say("/api/episodes?limit=20&worker=0", [episodeOf(8), episodeOf(7)]);
  say("/api/worker/omega-0/log?lines=200", { lines: ["first", "Acquired a session"] });
  open("/stream?worker=omega-0");
  expect(await screen.findByText(/from −300 at the start to 80.0/)).toBeTruthy();
  expect(screen.getByRole("cell", { name: "80.0" })).toBeTruthy();
  expect(screen.getByText(/Acquired a session/)).toBeTruthy();
});

test("says of each of these what is the matter while it is empty", async () => {
  say("/api/worker/omega-0/status", live);
  say("/api/curve?points=2000&worker=0", []);
  say("/api/episodes?limit=20&worker=0", []);
  say("/api/worker/omega-0/log?lines=200", { message: "there is no log" }, 404);
  open("/stream?worker=omega-0");
  expect(await screen.findByText(/begin with its first finished episode/)).toBeTruthy();
  expect(screen.getByText(/None has ended in this run yet/)).toBeTruthy();
  expect(screen.getByText(/can't be read now: there is no log/)).toBeTruthy();
});

test("a worker in standby is told to come next", async () => {
  say("/api/worker/omega-1/status", workerStatus(1));
  say("/api/featured", featuredOf(["omega-0"], "omega-1"));
  open("/stream?worker=omega-1");
  expect(await screen.findByText(/it gets the next session in about 12 s/)).toBeTruthy();
});

test("the heat map is asked for with its key, and no longer when it is pressed again", () => {
  open("/stream?worker=omega-0");
  fireEvent.keyDown(window, { key: "h" });
  expect(screen.getByText("player of omega-0 with attention")).toBeTruthy();
  expect(screen.getByRole("button", { name: /Heat map/ }).getAttribute("aria-pressed")).toBe(
    "true",
  );
  fireEvent.keyDown(window, { key: "h" });
  expect(screen.getByText("player of omega-0")).toBeTruthy();
});

test("the arrows lead to the workers beside it", async () => {
  say("/api/fleet", fleetOf([live, workerStatus(1), workerStatus(2)]));
  open("/stream?worker=omega-0");
  await screen.findByRole("link", { name: "omega-2" });
  fireEvent.keyDown(window, { key: "ArrowLeft" });
  expect(screen.getByLabelText("address").textContent).toBe("/stream?worker=omega-2");
  fireEvent.keyDown(window, { key: "ArrowRight" });
  expect(screen.getByLabelText("address").textContent).toBe("/stream?worker=omega-0");
});
