import { act, screen, waitFor } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFeatured, makeFleet, makeWorker } from "../testing/fixtures";

vi.mock("../player/Player", () => ({ Player: () => <p>player</p> }));
installFakeOrchestrator();

const INCIDENT = {
  kind: "disk",
  subject: "runs",
  severity: "critical",
  message: "12 MB are free",
  action: "free some",
  since: 1e9,
};

beforeEach(() => {
  respond("/api/fleet", makeFleet([makeWorker(0, { stream_state: "live" })]));
  respond("/api/featured", makeFeatured(["omega-0"], null));
  document.head.innerHTML = '<link rel="icon" href="/favicon.svg" />';
});

function icon(): string | null | undefined {
  return document.querySelector("link[rel=icon]")?.getAttribute("href");
}

test("an incident marks the tab, and its end takes the mark away", async () => {
  respond("/api/incidents", [INCIDENT]);
  openPage("/neural/broadcast");
  await screen.findByText("player");
  await waitFor(() => expect(document.title).toBe("⚠ Broadcast · MetaBonk"));
  expect(icon()).toBe("/favicon-alert.svg");
  respond("/api/incidents", []);
  await act(() => vi.advanceTimersByTimeAsync(16_000));
  await waitFor(() => expect(document.title).toBe("Broadcast · MetaBonk"));
  expect(icon()).toBe("/favicon.svg");
});

test("the tab of a calm fleet has no mark", async () => {
  respond("/api/incidents", []);
  openPage("/neural/broadcast");
  await screen.findByText("player");
  expect(document.title).toBe("Broadcast · MetaBonk");
});
