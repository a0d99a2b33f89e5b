// @vitest-environment happy-dom
import { QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { createQueryClient } from "../api/queries";
import { installFakeOrchestrator, respond } from "../testing/fake-orchestrator";
import { Share } from "./Share";

installFakeOrchestrator();

function openShare() {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <Share worker={null} />
    </QueryClientProvider>,
  );
  const details = screen.getByText("Watch the program elsewhere").closest("details");
  if (!details) throw new Error("no details");
  details.open = true;
  fireEvent(details, new Event("toggle"));
}

test("a tile for other pages is offered as HTML, with its key", async () => {
  const path = "/embed?worker=program&key=abc";
  respond("/api/embed?worker=program", { path, origins: ["https://example.org"] });
  openShare();
  expect(await screen.findByText("A page of https://example.org")).toBeTruthy();
  expect(screen.getByText(/embed\?worker=program&amp;key=abc/)).toBeTruthy();
});

test("where no page may embed one, the setting is named", async () => {
  respond("/api/embed?worker=program", { path: null, origins: [] });
  openShare();
  expect(await screen.findByText("embed.origins")).toBeTruthy();
});
