import { act, fireEvent, screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFeatured, makeFleet, makeWorker } from "../testing/fixtures";

vi.mock("../player/Player", () => ({ Player: () => <p>player</p> }));
installFakeOrchestrator();

const REPORT = {
  pid: 1,
  turns: 1,
  state: "waiting",
  connections: 0,
  frames: 0,
  on_air_since: null,
  error: "the connection to the server broke: Connection reset by peer",
};
const AIR = { to: "rtmp://host/app", wanted: true, report: REPORT };

beforeEach(() => {
  respond("/api/fleet", makeFleet([makeWorker(0, { stream_state: "live" })]));
  respond("/api/featured", makeFeatured(["omega-0"], null));
});

test("the page says why it is off air, and switches it", async () => {
  respond("/api/air", AIR);
  respond("PUT /api/air", { ...AIR, wanted: false, report: null });
  openPage("/");
  expect(await screen.findByText(/Off air, tries again in a moment/)).toBeTruthy();
  expect(screen.getByText("rtmp://host/app")).toBeTruthy();
  expect(screen.getByText(/Connection reset by peer/)).toBeTruthy();
  respond("/api/air", { ...AIR, wanted: false, report: null });
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Go off air" })));
  expect(await screen.findByRole("button", { name: "Go on air" })).toBeTruthy();
});

test("nothing is said where nothing is configured", async () => {
  respond("/api/air", { to: null, wanted: false, report: null });
  openPage("/");
  await screen.findByText("player");
  expect(screen.queryByRole("heading", { name: "On air" })).toBeNull();
});
