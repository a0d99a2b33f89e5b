import { act, screen, within } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { FleetEvent } from "../api/schema";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFleet } from "../testing/fixtures";

let source: FakeEventSource;

class FakeEventSource {
  static CLOSED = 2;
  readyState = 1;
  onFleet?: (event: { data: string }) => void;
  onmessage?: (event: { data: string }) => void;
  onerror?: () => void;
  constructor() {
    source = this;
  }
  addEventListener(_: string, listener: (event: { data: string }) => void) {
    this.onFleet = listener;
  }
  close() {}
}

vi.mock("./Plot", () => ({ Plot: () => null }));
installFakeOrchestrator();

beforeEach(() => {
  vi.stubGlobal("EventSource", FakeEventSource);
  respond("/api/fleet", makeFleet([]));
});

function emit(id: number, changes: Partial<FleetEvent>): void {
  const event = { id, at: 1_790_000_000 + id, kind: "live", instance_id: "omega-0", ...changes };
  act(() => source.onmessage?.({ data: JSON.stringify(event) }));
}

test("events appear at once, newest first, with a link to the worker", async () => {
  openPage("/");
  await screen.findByText("Connecting…");
  const { workers, ...fleet } = makeFleet([]);
  const change = { fleet, workers, gone: [], featured: null };
  act(() => source.onFleet?.({ data: JSON.stringify(change) }));
  expect(await screen.findByText("No events since this page was opened.")).toBeTruthy();
  emit(1, { message: "omega-0 is live on av:libx264" });
  emit(2, { message: "learner restarted", instance_id: "learner", kind: "restarted" });
  await screen.findByText("learner restarted");
  const shown = within(screen.getByRole("log"))
    .getAllByRole("listitem")
    .map((item) => item.textContent);
  expect(shown[0]).toContain("learner restarted");
  expect(shown[1]).toContain("omega-0 is live on av:libx264");
  const link = screen.getByRole("link", { name: "omega-0" });
  expect(link.getAttribute("href")).toBe("/stream?worker=omega-0");
});

test("a lost connection is reported and earlier events stay", async () => {
  openPage("/");
  await screen.findByText("Connecting…");
  emit(1, { message: "omega-0 died" });
  act(() => source.onerror?.());
  expect(await screen.findByText(/Not connected/)).toBeTruthy();
  expect(screen.getByText("died", { exact: false })).toBeTruthy();
});
