import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import type { PlayerState } from "../player/player-state";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import {
  makeCurve,
  makeEpisode,
  makeFeatured,
  makeFleet,
  makeGuest,
  makeHub,
  makePool,
  makeWorker,
} from "../testing/fixtures";

interface FakePlayer {
  worker: string;
  saliency?: boolean;
  onState?: (state: PlayerState) => void;
}

let onState: FakePlayer["onState"];

// Plot needs a canvas and Player needs video; both have their own tests.
vi.mock("../components/Plot", () => ({
  Plot: ({ label, onPick }: { label: string; onPick: (line: number, step: number) => void }) => (
    <button type="button" onClick={() => onPick(0, 4_000)}>
      {label}
    </button>
  ),
}));
vi.mock("../player/Player", () => ({
  Player: ({ worker, saliency, onState: listen }: FakePlayer) => {
    onState = listen;
    return (
      <p>
        player of {worker}
        {saliency && " with saliency"}
      </p>
    );
  },
}));
installFakeOrchestrator();

const live = makeWorker(0, {
  stream_state: "live",
  stream_backend: "av:libx264",
  stream_active_clients: 2,
});

test("shows the player and the worker's statistics", async () => {
  respond("/api/fleet", makeFleet([{ ...live, stream_bitrate: 4_100_000, frames_dropped: 3 }]));
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText("player of omega-0")).toBeTruthy();
  expect(await screen.findByText("4.1 Mbit/s")).toBeTruthy();
  expect(screen.getByText("of 3; – in this browser")).toBeTruthy();
  expect(screen.getByText("software")).toBeTruthy();
  expect(screen.getByText("buffered in this browser")).toBeTruthy();
});

test("shows the slot of the software encoder", async () => {
  const holder = { slot: 1, instance_id: "omega-0", gpu_index: null, pid: 1_000, ours: true };
  respond("/api/fleet", makeFleet([live]));
  respond("/api/sessions", [makePool({ used: 1, limit: 2, holders: [holder] })]);
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText("software, slot 1")).toBeTruthy();
});

test("shows the stream's quality and why it is reduced", async () => {
  const quality = "640×360 at 20 frames/s instead of 1280×720 at 30: this machine can't keep up";
  const shown = { spectator_width: 640, spectator_height: 360, stream_target_fps: 20 };
  const reduced = { ...live, ...shown, frames_fps: 19.8, stream_quality: quality };
  respond("/api/fleet", makeFleet([reduced]));
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText(`${quality}.`)).toBeTruthy();
  expect(screen.getByText("640 × 360")).toBeTruthy();
  expect(screen.getByText("rendered at 256 × 144")).toBeTruthy();
  expect(screen.getByText("19.8 of 20 rendered")).toBeTruthy();
});

test("offers all workers when none is named", async () => {
  respond("/api/fleet", makeFleet([live]));
  openPage("/stream");
  expect(await screen.findByRole("link", { name: "omega-0" })).toBeTruthy();
});

test("says that a worker is unknown and offers the others", async () => {
  respond("/api/fleet", makeFleet([live]));
  openPage("/stream?worker=omega-9");
  expect(await screen.findByText("There is no worker omega-9")).toBeTruthy();
  expect(await screen.findByRole("link", { name: "omega-0" })).toBeTruthy();
});

test("a worker that restarts keeps its statistics, and says why and for how long", async () => {
  const ended = { ...live, stream_state: "starting" as const, step: 4_321 };
  const reason = "starts again: omega-0 was killed by SIGKILL";
  const starting = { "omega-0": { reason, waited_s: 7.4 } };
  respond("/api/fleet", makeFleet([ended], { starting }));
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText(`omega-0 ${reason}. 7 s so far.`)).toBeTruthy();
  expect(screen.getByText("4,321")).toBeTruthy();
  expect(screen.getByText("player of omega-0")).toBeTruthy();
});

test("a worker that starts has a page before it has reported", async () => {
  const starting = { "omega-1": { reason: "waits for its turn", waited_s: 2 } };
  respond("/api/fleet", makeFleet([live], { starting }));
  openPage("/stream?worker=omega-1");
  expect(await screen.findByText("omega-1 waits for its turn. 2 s so far.")).toBeTruthy();
  expect(screen.getByText("player of omega-1")).toBeTruthy();
});

test("what the stream itself says comes first", async () => {
  respond("/api/fleet", makeFleet([makeWorker(0)]));
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText(/Session requested/)).toBeTruthy();
  act(() => onState?.("live"));
  expect(screen.getByText(/Stays live while this page is open/)).toBeTruthy();
});

test("shows the returns, the recent episodes and the end of the log", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("/api/curve?points=2000&worker=0", makeCurve(-300, 80));
  respond("/api/episodes?limit=20&worker=0", [makeEpisode(8), makeEpisode(7)]);
  respond("/api/worker/omega-0/log?lines=200", { lines: ["first", "Acquired a session"] });
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText(/from −300 at the start to 80.0/)).toBeTruthy();
  expect(screen.getByRole("cell", { name: "80.0" })).toBeTruthy();
  expect(screen.getByText(/Acquired a session/)).toBeTruthy();
});

test("episodes and the curve lead to replays of this worker", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("/api/curve?points=2000&worker=0", makeCurve(-300, 80));
  respond("/api/episodes?limit=20&worker=0", [
    makeEpisode(8, { id: 12 }),
    makeEpisode(7, { replayable: false }),
  ]);
  openPage("/stream?worker=omega-0");
  const link = await screen.findByRole("link", { name: "Watch episode 8 of omega-0" });
  expect(link.getAttribute("href")).toBe("/replay?episode=12");
  expect(screen.queryByRole("link", { name: /Watch episode 7/ })).toBeNull();
  fireEvent.click(await screen.findByRole("button", { name: /Learning curve/ }));
  await waitFor(() =>
    expect(screen.getByLabelText("location").textContent).toBe("/replay?step=4000&worker=0"),
  );
});

test("says why each of these is empty", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("/api/curve?points=2000&worker=0", []);
  respond("/api/episodes?limit=20&worker=0", []);
  respond("/api/worker/omega-0/log?lines=200", { message: "there is no log" }, 404);
  openPage("/stream?worker=omega-0");
  expect(await screen.findByText(/Starts with the first finished episode/)).toBeTruthy();
  expect(screen.getByText(/No finished episodes in this run yet/)).toBeTruthy();
  expect(screen.getByText(/Could not load the log: there is no log/)).toBeTruthy();
});

test("says when a worker in standby gets its session", async () => {
  respond("/api/fleet", makeFleet([makeWorker(1)]));
  respond("/api/featured", makeFeatured(["omega-0"], "omega-1"));
  openPage("/stream?worker=omega-1");
  expect(await screen.findByText(/Gets the next session in about 12 s/)).toBeTruthy();
  expect(screen.queryByRole("link", { name: /last episode/ })).toBeNull();
});

test("a worker in standby offers its last episode", async () => {
  respond("/api/fleet", makeFleet([makeWorker(1, { episode: 3 })]));
  openPage("/stream?worker=omega-1");
  const link = await screen.findByRole("link", { name: /Watch its last episode/ });
  expect(link.getAttribute("href")).toBe("/replay?episode=last&worker=1");
});

test("its key toggles the saliency overlay", () => {
  openPage("/stream?worker=omega-0");
  fireEvent.keyDown(window, { key: "h" });
  expect(screen.getByText("player of omega-0 with saliency")).toBeTruthy();
  expect(screen.getByRole("button", { name: /Saliency/ }).getAttribute("aria-pressed")).toBe(
    "true",
  );
  fireEvent.keyDown(window, { key: "h" });
  expect(screen.getByText("player of omega-0")).toBeTruthy();
});

test("the arrow keys move to the neighbouring workers", async () => {
  respond("/api/fleet", makeFleet([live, makeWorker(1), makeWorker(2)]));
  openPage("/stream?worker=omega-0");
  await screen.findByRole("link", { name: "omega-2" });
  fireEvent.keyDown(window, { key: "ArrowLeft" });
  expect(screen.getByLabelText("location").textContent).toBe("/stream?worker=omega-2");
  fireEvent.keyDown(window, { key: "ArrowRight" });
  expect(screen.getByLabelText("location").textContent).toBe("/stream?worker=omega-0");
});

test("a guest's page is of its trainer, and has no episodes of a run", async () => {
  const guest = { drawn: "inline" as const, drawing_cost: 0.0123, note: "it is a stream" };
  respond("/api/fleet", makeFleet([makeGuest("robot", 0, { stream_state: "live", guest })]));
  openPage("/stream?worker=robot");
  expect(await screen.findByText("its trainer")).toBeTruthy();
  expect(screen.getByText("1.2% of its time")).toBeTruthy();
  expect(screen.getByText("It is a stream.")).toBeTruthy();
  expect(screen.getByText("4321")).toBeTruthy();
  expect(screen.queryByText("Recent episodes")).toBeNull();
  expect(screen.queryByText("Policy version")).toBeNull();
  expect(screen.queryByRole("button", { name: /Saliency/ })).toBeNull();
});

test("a name that nobody has leads to the environments of a hub", async () => {
  respond("/api/fleet", makeHub([makeGuest("robot", 0)]));
  openPage("/stream?worker=gone");
  expect(await screen.findByRole("link", { name: "robot" })).toBeTruthy();
  expect(screen.queryByRole("table", { name: "Workers" })).toBeNull();
});
