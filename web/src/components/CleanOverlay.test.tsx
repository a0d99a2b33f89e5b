import { screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeCurve, makeFeatured, makeFleet, makeWorker } from "../testing/fixtures";

vi.mock("../player/Player", () => ({ Player: () => <p>player</p> }));
installFakeOrchestrator();

beforeEach(() => {
  respond("/api/fleet", makeFleet([makeWorker(0, { stream_state: "live" })]));
  respond("/api/featured", makeFeatured(["omega-0"], null));
  respond("/api/curve?points=2000", makeCurve(1, 2, 3));
});

function broadcast(): HTMLElement | null {
  return document.querySelector(".broadcast");
}

test("a clean view shows what its address asks for", async () => {
  openPage("/neural/broadcast?clean=1&overlay=return,curve&bg=transparent");
  expect(await screen.findByRole("img", { name: "Learning curve" })).toBeTruthy();
  expect(broadcast()?.dataset.overlay).toBe("return curve");
  expect(document.documentElement.dataset.transparent).toBe("true");
});

test("a clean view that asks for nothing is as it was", async () => {
  openPage("/neural/broadcast?clean=1");
  await screen.findByText("player");
  expect(broadcast()?.dataset.overlay).toBeUndefined();
  expect(document.documentElement.dataset.transparent).toBe("false");
  expect(screen.queryByRole("img", { name: "Learning curve" })).toBeNull();
});

test("an overlay is for clean views only", async () => {
  openPage("/neural/broadcast?overlay=curve&bg=transparent");
  await screen.findByText("player");
  expect(broadcast()?.dataset.overlay).toBeUndefined();
  expect(document.documentElement.dataset.transparent).toBeUndefined();
});
