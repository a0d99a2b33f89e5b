import { act, fireEvent, screen, within } from "@testing-library/react";
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
  localStorage.clear();
  vi.stubGlobal("EventSource", FakeEventSource);
  respond("/api/fleet", makeFleet([]));
});

function emit(id: number, changes: Partial<FleetEvent>): void {
  const at = 1_790_000_000 + id;
  const event = { id, at, kind: "live", severity: "info", instance_id: "omega-0", ...changes };
  act(() => source.onmessage?.({ data: JSON.stringify(event) }));
}

test("events appear at once, newest first, with a link to the worker", async () => {
  openPage("/");
  await screen.findByText("Connecting…");
  const { workers, ...fleet } = makeFleet([]);
  const change = { fleet, workers, gone: [], featured: null };
  act(() => source.onFleet?.({ data: JSON.stringify(change) }));
  expect(await screen.findByText("No such events yet.")).toBeTruthy();
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

test("many rotations are one row that opens, and a filter leaves what is grave", async () => {
  openPage("/");
  await screen.findByText("Connecting…");
  for (let id = 1; id <= 24; id++)
    emit(id, { kind: id % 2 ? "live" : "standby", message: `rotation ${id}` });
  emit(25, { kind: "died", severity: "warning", message: "omega-1 was killed" });
  const rows = within(screen.getByRole("log"));
  fireEvent.click(await rows.findByText("12 rotations"));
  expect(rows.getByText("rotation 7")).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Show"), { target: { value: "warning" } });
  expect(rows.queryByText("12 rotations")).toBeNull();
  expect(rows.getByText("omega-1 was killed")).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Show"), { target: { value: "critical" } });
  expect(rows.queryByText("omega-1 was killed")).toBeNull();
});

test("a browser is told what has happened since it looked last", async () => {
  localStorage.setItem("metabonk.events-seen", "1790000002");
  openPage("/");
  await screen.findByText("Connecting…");
  for (let id = 1; id <= 3; id++) emit(id, { kind: "registered", message: `start ${id}` });
  emit(4, { kind: "incident", severity: "critical", message: "3 MB are free" });
  expect(await screen.findByText("Since you last looked: 1 critical, 1 other.")).toBeTruthy();
  const isNew = (text: string) => screen.getByText(text).closest("li")?.dataset.new;
  expect([isNew("start 2"), isNew("start 3"), isNew("3 MB are free")]).toEqual([
    "false",
    "true",
    "true",
  ]);
  Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
  fireEvent(document, new Event("visibilitychange"));
  expect(localStorage.getItem("metabonk.events-seen")).toBe("1790000004");
});

test("earlier events are loaded on request", async () => {
  openPage("/");
  await screen.findByText("Connecting…");
  emit(900, { message: "the newest" });
  const earlier = { id: 899, at: 1_780_000_000, kind: "died", severity: "warning" };
  respond("/api/events/log?before=900&limit=100&severity=info", [
    { ...earlier, instance_id: "omega-0", message: "long ago" },
  ]);
  fireEvent.click(await screen.findByRole("button", { name: "Earlier events" }));
  expect(await screen.findByText("long ago")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Earlier events" })).toBeNull();
});
