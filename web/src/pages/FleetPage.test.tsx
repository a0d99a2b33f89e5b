import { screen, within } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { answers, open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { fleetOf, runOf, workerStatus } from "../testing/fixtures";

// A plot needs a canvas; a real browser draws it in tests/browser.
vi.mock("../components/Plot", () => ({ Plot: () => <p>the curve</p> }));
withOrchestrator();

const live = workerStatus(0, {
  stream_state: "live",
  stream_backend: "av:libx264",
  frames_fps: 29.94,
  spectator_width: 1280,
  spectator_height: 720,
  steps_per_s: 30,
  episode_return: 11,
  stream_active_clients: 2,
});
const standby = workerStatus(1, { steps_per_s: 211 });

test("says that it waits before the first answer", () => {
  vi.stubGlobal("fetch", () => new Promise(() => {}));
  open("/");
  expect(screen.getByText("Asking the orchestrator")).toBeTruthy();
});

test("says what to do when nothing answers, and fills itself when something does", async () => {
  open("/");
  expect(await screen.findByText("The orchestrator does not answer")).toBeTruthy();
  expect(screen.getByText("./start --mode train --workers 2")).toBeTruthy();
  say("/api/fleet", fleetOf([live]));
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await screen.findByRole("link", { name: "omega-0" })).toBeTruthy();
  expect(screen.queryByText("The orchestrator does not answer")).toBeNull();
});

test("has a row a worker with its figures, and a link to its stream", async () => {
  say("/api/fleet", fleetOf([standby, live]));
  open("/");
  const row = (await screen.findByRole("rowheader", { name: "omega-0" })).closest("tr");
  const cells = within(row as HTMLElement).getAllByRole("cell");
  expect(cells.map((cell) => cell.textContent)).toEqual([
    "live",
    "29.9",
    "1280 × 720",
    "av:libx264",
    "30.0",
    "0",
    "11.0",
    "–",
    "0",
    "2",
  ]);
  const link = screen.getByRole("link", { name: "omega-1" });
  expect(link.getAttribute("href")).toBe("/stream?worker=omega-1");
  expect(screen.getByText("of 2 workers")).toBeTruthy();
  expect(screen.getByText("241")).toBeTruthy();
});

test("marks a picture that is less than was wanted, and says why", async () => {
  const quality = "960×540 at 30 frames/s instead of 1280×720 at 30: this machine can't keep up";
  say("/api/fleet", fleetOf([{ ...live, spectator_width: 960, stream_quality: quality }]));
  open("/");
  const picture = await screen.findByTitle(quality);
  expect(picture.textContent).toBe("960 × 720 reduced");
});

test("keeps the last figures when the orchestrator is gone, and says so", async () => {
  say("/api/fleet", fleetOf([live]));
  open("/");
  await screen.findByRole("link", { name: "omega-0" });
  answers.clear();
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await screen.findByText("The orchestrator is gone")).toBeTruthy();
  expect(screen.getByRole("link", { name: "omega-0" })).toBeTruthy();
});

test("shows problems in words, with what to do", async () => {
  const problem = { what: "No disk space is left.", do: "Delete old runs." };
  say("/api/fleet", fleetOf([live], { problems: [problem] }));
  open("/");
  expect(await screen.findByText(problem.what)).toBeTruthy();
  expect(screen.getByText(problem.do)).toBeTruthy();
});

test("names what is not there yet", async () => {
  say("/api/fleet", fleetOf([]));
  say("/api/curve?points=2000", []);
  open("/");
  expect(await screen.findByText(/No worker has reported yet/)).toBeTruthy();
  expect(await screen.findByText(/begins with the first finished episode/)).toBeTruthy();
  expect(screen.getByText(/The workers go on with the weights they have/)).toBeTruthy();
});

test("says first how well it plays", async () => {
  say("/api/fleet", fleetOf([live]));
  say("/api/runs", [runOf("now", { current: true }), runOf("before", { recent_return: 1 })]);
  open("/");
  expect(await screen.findByText("70.5")).toBeTruthy();
  expect(screen.getByText("last 100 episodes; best 95.0")).toBeTruthy();
});

test("an address that is no page says so and leads back", () => {
  open("/neural/network");
  expect(screen.getByText("/neural/network", { selector: "code" })).toBeTruthy();
  expect(screen.getByRole("link", { name: "The fleet" }).getAttribute("href")).toBe("/");
});
