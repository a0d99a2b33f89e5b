import { screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { fleetOf, poolOf } from "../api/examples";
import { open, say, withOrchestrator } from "../pages/harness";

vi.mock("./Plot", () => ({ Plot: () => null }));
withOrchestrator();

test("a pool says how many of how many, who holds each, and what is free", async () => {
  say("/api/fleet", fleetOf([]));
  const ours = { slot: 0, instance_id: "omega-2", pid: 41, ours: true };
  const theirs = { slot: null, instance_id: null, pid: null, ours: false };
  const holders = [ours, theirs];
  say("/api/sessions", [
    poolOf({ pool: "nvenc", gpu_index: 0, gpu_name: "RTX 5090", used: 2, limit: 3, holders }),
  ]);
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
