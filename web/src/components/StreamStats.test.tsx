import { QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createQueryClient } from "../api/queries";
import type { LivePlayer, PlayerStats } from "../player/live-player";
import { makeWorker } from "../testing/fixtures";
import { StreamStats } from "./StreamStats";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => Response.json([])),
  );
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function renderStats(stats: PlayerStats, state: "live" | "standby" = "live") {
  const status = makeWorker(0, { stream_state: state });
  render(
    <QueryClientProvider client={createQueryClient()}>
      <StreamStats status={status} player={{ stats } as LivePlayer} />
    </QueryClientProvider>,
  );
  await act(() => vi.advanceTimersByTimeAsync(1_000));
}

test("latency is measured from step to screen if worker and viewer share a clock", async () => {
  await renderStats({ latency: 0.148, behindLive: 0.15, droppedFrames: 2 });
  expect(screen.getByText("148 ms")).toBeTruthy();
  expect(screen.getByText("step to screen; 150 ms buffered")).toBeTruthy();
  expect(screen.getByText("of 0; 2 in this browser")).toBeTruthy();
});

test("otherwise only the distance from live is shown, under that name", async () => {
  await renderStats({ latency: null, behindLive: 0.2, droppedFrames: 0 });
  expect(screen.queryByText("Latency")).toBeNull();
  expect(screen.getByText("Behind live")).toBeTruthy();
  expect(screen.getByText("200 ms")).toBeTruthy();
});

test("a worker that is not live has no latency", async () => {
  await renderStats({ latency: 0.148, behindLive: 0.15, droppedFrames: 0 }, "standby");
  expect(screen.queryByText("148 ms")).toBeNull();
});
