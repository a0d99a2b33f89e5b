import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fleetOf, workerStatus } from "../api/examples";
import { createQueryClient } from "../api/queries";
import { Pages } from "./Pages";

// A plot needs a canvas and a player needs video; each has tests of its own.
vi.mock("../components/Curve", () => ({ Curve: () => <p>the curve</p> }));
vi.mock("../player/Player", () => ({
  Player: ({ worker, audience }: { worker: string; audience?: string }) => (
    <p>
      player of {worker} {audience}
    </p>
  ),
}));

/** What the orchestrator says; an address that is missing is one that does not answer. */
let answers: Map<string, { status: number; body: unknown }>;

beforeEach(() => {
  answers = new Map();
  vi.useFakeTimers({ shouldAdvanceTime: true });
  vi.stubGlobal("fetch", async (address: string) => {
    const answer = answers.get(address);
    if (!answer) throw new TypeError("Failed to fetch");
    return Response.json(answer.body, { status: answer.status });
  });
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function say(address: string, body: unknown, status = 200): void {
  answers.set(address, { status, body });
}

function open(address: string): void {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter initialEntries={[address]}>
        <Pages />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

const live = workerStatus(0, {
  stream_state: "live",
  stream_backend: "av:libx264",
  frames_fps: 29.94,
  steps_per_s: 30,
  episode_return: 11,
  stream_active_clients: 2,
});
const standby = workerStatus(1, { steps_per_s: 211 });

describe("the fleet's page", () => {
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
      "av:libx264",
      "30.0",
      "0",
      "11.0",
      "0",
      "2",
    ]);
    const link = screen.getByRole("link", { name: "omega-1" });
    expect(link.getAttribute("href")).toBe("/stream?worker=omega-1");
    expect(screen.getByText("of 2 workers")).toBeTruthy();
    expect(screen.getByText("241")).toBeTruthy();
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
    say("/api/curve?points=500", []);
    open("/");
    expect(await screen.findByText(/No worker has reported yet/)).toBeTruthy();
    expect(await screen.findByText(/begins with the first finished episode/)).toBeTruthy();
    expect(screen.getByText(/The workers go on with the weights they have/)).toBeTruthy();
  });
});

describe("a worker's page", () => {
  test("has the player and the worker's own figures", async () => {
    say("/api/worker/omega-0/status", { ...live, stream_bitrate: 4_100_000, frames_dropped: 3 });
    open("/stream?worker=omega-0");
    expect(screen.getByText("player of omega-0")).toBeTruthy();
    expect(await screen.findByText("4.1 Mbit/s")).toBeTruthy();
    expect(screen.getByText("3 dropped")).toBeTruthy();
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
});

describe("the broadcast", () => {
  test("features a live worker, and shows the others beside it, as viewers of the broadcast", async () => {
    say("/api/fleet", fleetOf([workerStatus(0), { ...live, instance_id: "omega-1" }]));
    open("/neural/broadcast");
    await screen.findByText("player of omega-1 broadcast");
    expect(screen.getAllByText(/player of/).map((player) => player.textContent)).toEqual([
      "player of omega-1 broadcast",
      "player of omega-0 broadcast",
    ]);
  });

  test("says when there is nobody to show", async () => {
    say("/api/fleet", fleetOf([]));
    open("/neural/broadcast");
    expect(await screen.findByText("Nobody is on stage yet")).toBeTruthy();
  });
});

test("an address that is no page says so and leads back", () => {
  open("/neural/network");
  expect(screen.getByText("/neural/network")).toBeTruthy();
  expect(screen.getByRole("link", { name: "The fleet" }).getAttribute("href")).toBe("/");
});
