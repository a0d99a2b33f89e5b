// @vitest-environment happy-dom
import { QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, waitFor } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { createQueryClient } from "../api/queries";
import { installFakeOrchestrator } from "../testing/fake-orchestrator";
import { makeFleet, makeWorker } from "../testing/fixtures";
import { ProgramPin } from "./ProgramPin";

installFakeOrchestrator();

function show(pin: string | null) {
  const request = vi.fn(async () => Response.json({}));
  vi.stubGlobal("fetch", request);
  render(
    <QueryClientProvider client={createQueryClient()}>
      <ProgramPin fleet={makeFleet([makeWorker(0), makeWorker(1)], { pin })} />
    </QueryClientProvider>,
  );
  return request;
}

function sent(worker: string | null) {
  const headers = { "Content-Type": "application/json" };
  return ["/api/program/pin", { method: "PUT", headers, body: JSON.stringify({ worker }) }];
}

test("the program is pinned to a worker", async () => {
  const request = show(null);
  expect(screen.queryByRole("button")).toBeNull();
  fireEvent.change(screen.getByRole("combobox"), { target: { value: "omega-1" } });
  await waitFor(() => expect(request.mock.calls).toEqual([sent("omega-1")]));
});

test("the program goes back to the director", async () => {
  const request = show("omega-1");
  expect(screen.getByRole<HTMLSelectElement>("combobox").value).toBe("omega-1");
  fireEvent.click(screen.getByRole("button", { name: "Back to the director" }));
  await waitFor(() => expect(request.mock.calls).toEqual([sent(null)]));
});
