import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import {
  installFakeOrchestrator,
  openPage,
  respond,
  responses,
} from "../testing/fake-orchestrator";
import { makeCurve, makeFleet, makeGuest, makeHub, makeRun, makeWorker } from "../testing/fixtures";

// Plot needs a canvas; tests/browser covers it.
vi.mock("../components/Plot", () => ({ Plot: () => <p>plot</p> }));
// Player needs video and has its own tests.
vi.mock("../player/Player", () => ({ Player: () => null }));
installFakeOrchestrator();

const live = makeWorker(0, {
  stream_state: "live",
  stream_backend: "av:libx264",
  frames_fps: 29.94,
  spectator_width: 1280,
  spectator_height: 720,
  steps_per_s: 30,
  episode_return: 11,
  stream_active_clients: 2,
});
const standby = makeWorker(1, { steps_per_s: 211 });

test("says that it is connecting before the first response", () => {
  vi.stubGlobal("fetch", () => new Promise(() => {}));
  openPage("/");
  expect(screen.getByText("Connecting to the orchestrator")).toBeTruthy();
});

test("says how to start a fleet when nothing responds, and recovers by itself", async () => {
  openPage("/");
  expect(await screen.findByText("Cannot reach the orchestrator")).toBeTruthy();
  expect(screen.getByText("./start --mode train --workers 2")).toBeTruthy();
  respond("/api/fleet", makeFleet([live]));
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await screen.findByRole("rowheader", { name: "omega-0" })).toBeTruthy();
  expect(screen.queryByText("Cannot reach the orchestrator")).toBeNull();
});

test("says at once what to do where a proxy makes the server take the page for a foreign one", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("OPTIONS /api/fleet", { error: "foreign_origin", message: "use --public-url" }, 403);
  openPage("/");
  expect(await screen.findByText("use --public-url")).toBeTruthy();
  expect(screen.queryByRole("link", { name: "omega-0" })).toBeNull();
});

test("lists each worker with its statistics and a link to its stream", async () => {
  respond("/api/fleet", makeFleet([standby, live]));
  openPage("/");
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
  const table = within(screen.getByRole("table", { name: "Workers" }));
  const link = table.getByRole("link", { name: "omega-1" });
  expect(link.getAttribute("href")).toBe("/stream?worker=omega-1");
  expect(screen.getByText("of 2 workers")).toBeTruthy();
  expect(screen.getByText("241")).toBeTruthy();
});

test("marks a reduced resolution with the reason", async () => {
  const quality = "960×540 at 30 frames/s instead of 1280×720 at 30: this machine can't keep up";
  respond("/api/fleet", makeFleet([{ ...live, spectator_width: 960, stream_quality: quality }]));
  openPage("/");
  const cell = await screen.findByTitle(quality);
  expect(cell.textContent).toBe("960 × 720 reduced");
});

test("keeps the last data when the connection is lost, and says so", async () => {
  respond("/api/fleet", makeFleet([live]));
  openPage("/");
  await screen.findByRole("rowheader", { name: "omega-0" });
  responses.clear();
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await screen.findByText("Lost connection to the orchestrator")).toBeTruthy();
  expect(screen.getByRole("rowheader", { name: "omega-0" })).toBeTruthy();
});

test("shows problems with what to do", async () => {
  const problem = { message: "no disk space is left", action: "delete old runs" };
  respond("/api/fleet", makeFleet([live], { problems: [problem] }));
  openPage("/");
  expect(await screen.findByText("No disk space is left.")).toBeTruthy();
  expect(screen.getByText("Delete old runs.")).toBeTruthy();
});

test("says what is still missing", async () => {
  const starting = {
    "omega-0": { reason: "has started, and has not reported yet", waited_s: 61 },
    learner: { reason: "waits for its turn", waited_s: 3 },
  };
  respond("/api/fleet", makeFleet([], { starting }));
  respond("/api/curve?points=2000", []);
  openPage("/");
  expect(
    await screen.findByText("omega-0 has started, and has not reported yet. 1 min so far."),
  ).toBeTruthy();
  expect(screen.getByText("The learner waits for its turn. 3 s so far.")).toBeTruthy();
  expect(await screen.findByText(/Starts with the first finished episode/)).toBeTruthy();
});

test("plots the first episode within half a second", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("/api/curve?points=2000", []);
  openPage("/");
  expect(await screen.findByText(/Starts with the first finished episode/)).toBeTruthy();
  respond("/api/curve?points=2000", makeCurve(1));
  await vi.advanceTimersByTimeAsync(400);
  expect(await screen.findByText("plot")).toBeTruthy();
});

test("shows the recent and best return of the current run first", async () => {
  respond("/api/fleet", makeFleet([live]));
  respond("/api/runs", [
    makeRun("now", { current: true }),
    makeRun("before", { recent_return: 1 }),
  ]);
  openPage("/");
  expect(await screen.findByText("70.5")).toBeTruthy();
  expect(screen.getByText("last 100 episodes; best 95.0")).toBeTruthy();
});

test("an unknown path shows a not-found page with links back", async () => {
  openPage("/neural/network");
  expect(await screen.findByText("/neural/network", { selector: "code" })).toBeTruthy();
  expect(screen.getByRole("link", { name: "Go to the fleet" }).getAttribute("href")).toBe("/");
});

test("guests of a fleet have a table of their own and don't count as its workers", async () => {
  const guest = makeGuest("CartPole-v1-0", 2, { stream_state: "live" });
  respond("/api/fleet", makeFleet([live, guest]));
  openPage("/");
  const broadcasts = await screen.findByRole("table", { name: "Broadcasts" });
  const row = within(broadcasts).getByRole("row", { name: /CartPole-v1-0/ });
  const cells = within(row).getAllByRole("cell");
  expect(cells.map((cell) => cell.textContent?.trim())).toEqual([
    "live",
    "0.0",
    "7.0",
    "7",
    "41.0",
    "1,200",
    "its shadow",
    "0",
  ]);
  const workers = screen.getByRole("table", { name: "Workers" });
  expect(within(workers).queryByText("CartPole-v1-0")).toBeNull();
  expect(screen.getByText("of 1 worker")).toBeTruthy();
});

test("a hub's address leads to its environments, whose table has no learner", async () => {
  const inline = {
    drawn: "inline" as const,
    drawing_cost: 0.021,
    note: "it can't be repeated: in step 3 the reward is 2 and was 1 in the trainer",
  };
  const guests = [
    makeGuest("CartPole-v1-0", 0, { stream_state: "live" }),
    makeGuest("robot", 1, { guest: inline }),
  ];
  respond("/api/fleet", makeHub(guests));
  openPage("/");
  await waitFor(() =>
    expect(screen.getByLabelText("location").textContent).toBe("/neural/broadcast"),
  );
  fireEvent.click(screen.getByRole("link", { name: "Environments" }));
  const row = await screen.findByRole("row", { name: /robot/ });
  expect(within(row).getByText("2.1% of its time")).toBeTruthy();
  expect(within(row).getByTitle(/^It can't be repeated: in step 3/)).toBeTruthy();
  expect(screen.getByText("in 1 process")).toBeTruthy();
  expect(screen.getByText("of 2 environments")).toBeTruthy();
  expect(screen.queryByText("Learner")).toBeNull();
  expect(screen.queryByRole("link", { name: "Runs" })).toBeNull();
});

test("an empty hub says how to broadcast", async () => {
  respond("/api/fleet", makeHub([]));
  openPage("/");
  expect(await screen.findByText(/env = metabonk\.Broadcast\(env\)/)).toBeTruthy();
  fireEvent.click(screen.getByRole("link", { name: "Environments" }));
  expect(await screen.findByText("Encoder sessions")).toBeTruthy();
  expect(screen.getByText(/env = metabonk\.Broadcast\(env\)/)).toBeTruthy();
});

test("workers on several machines are grouped by machine", async () => {
  const node = { state: "present" as const, cores: 16, gpus: [], sessions: 2 };
  const nodes = [
    { ...node, node: "a", address: "http://a:8070", workers: ["omega-0"] },
    { ...node, node: "b", address: "http://b:8070", workers: [], state: "lost" as const },
  ];
  respond("/api/fleet", makeFleet([{ ...live, node: "a" }], { nodes }));
  openPage("/");
  const table = await screen.findByRole("table", { name: "Workers of a" });
  expect(within(table).getByRole("link", { name: "omega-0" })).toBeTruthy();
  const headings = screen.getAllByRole("heading", { level: 3 });
  expect(headings.map((heading) => heading.textContent)).toEqual([
    "a 1 worker, 16 cores, 2 encoder sessions",
    "b lost, 0 workers, 16 cores, 2 encoder sessions",
  ]);
});
