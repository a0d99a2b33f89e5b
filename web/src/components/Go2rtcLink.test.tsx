import { screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFleet, makeWorker } from "../testing/fixtures";

vi.mock("./Plot", () => ({ Plot: () => null }));
vi.mock("../player/Player", () => ({ Player: () => null }));
installFakeOrchestrator();
afterEach(() => vi.unstubAllGlobals());

function openStream(go2rtc: string | null): void {
  respond("/api/worker/omega-0/status", makeWorker(0));
  respond("/api/fleet", makeFleet([makeWorker(0)], { go2rtc }));
  openPage("/stream?worker=omega-0");
}

test("links to the worker's stream while go2rtc runs", async () => {
  openStream("http://127.0.0.1:1984");
  const link = await screen.findByRole("link", { name: "omega-0 in go2rtc" });
  expect(link.getAttribute("href")).toBe("http://127.0.0.1:1984/stream.html?src=omega-0");
});

test("is absent without go2rtc", async () => {
  openStream(null);
  await screen.findByRole("link", { name: "omega-0" });
  expect(screen.queryByText(/go2rtc/)).toBeNull();
});

test("is absent for viewers on another machine, which cannot reach it", async () => {
  vi.stubGlobal("location", { ...window.location, hostname: "192.168.1.20" });
  openStream("http://127.0.0.1:1984");
  await screen.findByRole("link", { name: "omega-0" });
  expect(screen.queryByText(/go2rtc/)).toBeNull();
});
