import { act, screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { FleetEvent } from "../api/schema";
import { open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { fleetOf } from "../testing/fixtures";

let events: FakeEvents;

class FakeEvents {
  static CLOSED = 2;
  readyState = 1;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onerror?: () => void;
  constructor() {
    events = this;
  }
  close() {}
}

vi.mock("./Plot", () => ({ Plot: () => null }));
withOrchestrator();

beforeEach(() => {
  vi.stubGlobal("EventSource", FakeEvents);
  say("/api/fleet", fleetOf([]));
});

function happen(id: number, changes: Partial<FleetEvent>): void {
  const event = { id, at: 1_790_000_000 + id, kind: "live", instance_id: "omega-0", ...changes };
  act(() => events.onmessage?.({ data: JSON.stringify(event) }));
}

test("what happens is shown at once, newest first, and leads to the worker", async () => {
  open("/");
  await screen.findByText("Waiting for the first one.");
  act(() => events.onopen?.());
  expect(screen.getByText("Nothing has happened since this page came.")).toBeTruthy();
  happen(1, { message: "omega-0 is live through av:libx264" });
  happen(2, { message: "learner is started again", instance_id: "learner", kind: "restarted" });
  const shown = screen.getAllByRole("listitem").map((item) => item.textContent);
  expect(shown[0]).toContain("learner is started again");
  expect(shown[1]).toContain("omega-0 is live through av:libx264");
  const link = screen.getByRole("link", { name: "omega-0" });
  expect(link.getAttribute("href")).toBe("/stream?worker=omega-0");
});

test("a lost connection is said, and what was known stays", async () => {
  open("/");
  await screen.findByText("Waiting for the first one.");
  happen(1, { message: "omega-0 died" });
  act(() => events.onerror?.());
  expect(screen.getByText(/Not connected/)).toBeTruthy();
  expect(screen.getByText("died", { exact: false })).toBeTruthy();
});
