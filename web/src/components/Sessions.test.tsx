import { screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFleet, makePool } from "../testing/fixtures";

vi.mock("./Plot", () => ({ Plot: () => null }));
installFakeOrchestrator();

test("a pool shows used and limit, each holder, and free sessions", async () => {
  respond("/api/fleet", makeFleet([]));
  const ours = { slot: 0, instance_id: "omega-2", pid: 41, gpu_index: 0, ours: true };
  const external = { slot: null, instance_id: null, pid: null, gpu_index: null, ours: false };
  const holders = [ours, external];
  const card = { gpu_index: 0, gpu_name: "RTX 5090", gpu_indices: [0] };
  respond("/api/sessions", [makePool({ pool: "nvenc", ...card, used: 2, limit: 3, holders })]);
  openPage("/");
  expect(await screen.findByText("NVENC, GPU 0, RTX 5090")).toBeTruthy();
  const slots = screen.getByText("omega-2").closest("ul")?.children ?? [];
  expect([...slots].map((slot) => slot.textContent)).toEqual([
    "omega-2slot 0, pid 41",
    "another program",
    "1 free",
  ]);
  expect(screen.getByText(/of 3 used/).textContent).toContain("2 of 3 used");
});

test("each GPU has a pool; GPUs that share a limit say which one a session is on", async () => {
  respond("/api/fleet", makeFleet([]));
  const holders = [{ slot: 0, instance_id: "omega-1", pid: 41, gpu_index: 1, ours: true }];
  const pool = "nvenc";
  respond("/api/sessions", [
    makePool({ pool, gpu_index: 0, gpu_name: "RTX 5090", gpu_indices: [0, 1], used: 1, holders }),
    makePool({ pool, gpu_index: 2, gpu_name: "L40S", gpu_indices: [2], limit: 32 }),
  ]);
  openPage("/");
  expect(await screen.findByText("NVENC, shared by GPUs 0, 1")).toBeTruthy();
  expect(screen.getByText("NVENC, GPU 2, L40S")).toBeTruthy();
  expect(screen.getByText("omega-1").closest("li")?.textContent).toBe(
    "omega-1GPU 1, slot 0, pid 41",
  );
});

test("a pool that is counted without its lock says why", async () => {
  respond("/api/fleet", makeFleet([]));
  respond("/api/sessions", [makePool({ note: "a process appears stuck" })]);
  openPage("/");
  expect(await screen.findByText("a process appears stuck")).toBeTruthy();
});

test("sessions without a known holder are still counted", async () => {
  respond("/api/fleet", makeFleet([]));
  respond("/api/sessions", [makePool({ used: 2, limit: 2, holders: [] })]);
  openPage("/");
  expect(await screen.findByText("2 more")).toBeTruthy();
  expect(screen.queryByText(/free/)).toBeNull();
});

test("a failed request and a missing encoder have different messages", async () => {
  respond("/api/fleet", makeFleet([]));
  openPage("/");
  expect(await screen.findByText(/Could not load the sessions/)).toBeTruthy();
  respond("/api/sessions", []);
  await vi.advanceTimersByTimeAsync(5_100);
  expect(await screen.findByText("No video encoder on this machine.")).toBeTruthy();
});

test("pools of other machines say which", async () => {
  respond("/api/fleet", makeFleet([]));
  respond("/api/sessions", [makePool(), makePool({ node: "b", used: 1 })]);
  openPage("/");
  expect(await screen.findByText("b: Software encoding (CPU)")).toBeTruthy();
  expect(screen.getByText("Software encoding (CPU)")).toBeTruthy();
});
