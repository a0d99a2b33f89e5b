import { screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { fleetOf, poolOf } from "../testing/fixtures";

vi.mock("./Plot", () => ({ Plot: () => null }));
withOrchestrator();

test("a pool says how many of how many, who holds each, and what is free", async () => {
  say("/api/fleet", fleetOf([]));
  const ours = { slot: 0, instance_id: "omega-2", pid: 41, gpu_index: 0, ours: true };
  const theirs = { slot: null, instance_id: null, pid: null, gpu_index: null, ours: false };
  const holders = [ours, theirs];
  const card = { gpu_index: 0, gpu_name: "RTX 5090", gpu_indices: [0] };
  say("/api/sessions", [poolOf({ pool: "nvenc", ...card, used: 2, limit: 3, holders })]);
  open("/");
  expect(await screen.findByText("NVENC, GPU 0, RTX 5090")).toBeTruthy();
  const slots = screen.getByText("omega-2").closest("ul")?.children ?? [];
  expect([...slots].map((slot) => slot.textContent)).toEqual([
    "omega-2slot 0, pid 41",
    "another program",
    "1 free",
  ]);
  expect(screen.getByText(/of 3 used/).textContent).toContain("2 of 3 used");
});

test("every GPU has its own, and cards that share a limit say which one is used", async () => {
  say("/api/fleet", fleetOf([]));
  const holders = [{ slot: 0, instance_id: "omega-1", pid: 41, gpu_index: 1, ours: true }];
  const pool = "nvenc";
  say("/api/sessions", [
    poolOf({ pool, gpu_index: 0, gpu_name: "RTX 5090", gpu_indices: [0, 1], used: 1, holders }),
    poolOf({ pool, gpu_index: 2, gpu_name: "L40S", gpu_indices: [2], limit: 32 }),
  ]);
  open("/");
  expect(await screen.findByText("NVENC, shared by GPUs 0, 1")).toBeTruthy();
  expect(screen.getByText("NVENC, GPU 2, L40S")).toBeTruthy();
  expect(screen.getByText("omega-1").closest("li")?.textContent).toBe(
    "omega-1GPU 1, slot 0, pid 41",
  );
});

test("sessions that nobody can be named for are still counted", async () => {
  say("/api/fleet", fleetOf([]));
  say("/api/sessions", [poolOf({ used: 2, limit: 2, holders: [] })]);
  open("/");
  expect(await screen.findByText("2 more")).toBeTruthy();
  expect(screen.queryByText(/free/)).toBeNull();
});

test("no answer and no encoder are said apart", async () => {
  say("/api/fleet", fleetOf([]));
  open("/");
  expect(await screen.findByText("Who holds them is not known now.")).toBeTruthy();
  say("/api/sessions", []);
  await vi.advanceTimersByTimeAsync(2_100);
  expect(await screen.findByText("This machine has no encoder to share.")).toBeTruthy();
});
