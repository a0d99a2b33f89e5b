import { screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { fleetOf, workerStatus } from "../testing/fixtures";

vi.mock("./Plot", () => ({ Plot: () => null }));
vi.mock("../player/Player", () => ({ Player: () => null, toggleFullscreen: () => {} }));
withOrchestrator();
afterEach(() => vi.unstubAllGlobals());

function openStream(go2rtc: string | null): void {
  say("/api/worker/omega-0/status", workerStatus(0));
  say("/api/fleet", fleetOf([workerStatus(0)], { go2rtc }));
  open("/stream?worker=omega-0");
}

test("leads to the worker's stream while go2rtc runs", async () => {
  openStream("http://127.0.0.1:1984");
  const link = await screen.findByRole("link", { name: "omega-0 in go2rtc" });
  expect(link.getAttribute("href")).toBe("http://127.0.0.1:1984/stream.html?src=omega-0");
});

test("is not there without go2rtc", async () => {
  openStream(null);
  await screen.findByRole("link", { name: "omega-0" });
  expect(screen.queryByText(/go2rtc/)).toBeNull();
});

test("is not there for who watches from another machine, where it would lead nowhere", async () => {
  vi.stubGlobal("location", { ...window.location, hostname: "192.168.1.20" });
  openStream("http://127.0.0.1:1984");
  await screen.findByRole("link", { name: "omega-0" });
  expect(screen.queryByText(/go2rtc/)).toBeNull();
});
