import { QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createQueryClient } from "../api/queries";
import type { LivePlayer, PlayerFigures } from "../player/live-player";
import { workerStatus } from "../testing/fixtures";
import { StreamFigures } from "./StreamStats";

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

async function show(figures: PlayerFigures, state: "live" | "standby" = "live") {
  const status = workerStatus(0, { stream_state: state });
  render(
    <QueryClientProvider client={createQueryClient()}>
      <StreamFigures status={status} player={{ figures } as LivePlayer} />
    </QueryClientProvider>,
  );
  await act(() => vi.advanceTimersByTimeAsync(1_000));
}

test("latency is from the decision to the screen, where both have one clock", async () => {
  await show({ latency: 0.148, behind: 0.15, dropped: 2 });
  expect(screen.getByText("148 ms")).toBeTruthy();
  expect(screen.getByText("decision to screen; 150 ms held")).toBeTruthy();
  expect(screen.getByText("of 0; 2 here")).toBeTruthy();
});

test("elsewhere only what this player holds is known, and it is called that", async () => {
  await show({ latency: null, behind: 0.2, dropped: 0 });
  expect(screen.queryByText("Latency")).toBeNull();
  expect(screen.getByText("Behind live")).toBeTruthy();
  expect(screen.getByText("200 ms")).toBeTruthy();
});

test("without a live picture there is no latency to tell", async () => {
  await show({ latency: 0.148, behind: 0.15, dropped: 0 }, "standby");
  expect(screen.queryByText("148 ms")).toBeNull();
});
