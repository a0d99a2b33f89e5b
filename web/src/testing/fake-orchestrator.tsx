/** Fake orchestrator with scripted responses, and the page rendered against it. */

import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render } from "@testing-library/react";
import { MemoryRouter, useLocation } from "react-router";
import { afterEach, beforeEach, vi } from "vitest";
import { App } from "../App";
import { followFleet } from "../api/feed";
import { createQueryClient } from "../api/queries";

/** Responses, text or JSON, by URL, after the method if it isn't GET; any other request is not answered. */
export const responses = new Map<string, { status: number; body: unknown }>();

class SilentEventSource {
  static CLOSED = 2;
  addEventListener() {}
  close() {}
}

let unfollow = () => {};

/** Install the fake orchestrator for each test of the file. */
export function installFakeOrchestrator(): void {
  beforeEach(() => {
    responses.clear();
    vi.useFakeTimers({ shouldAdvanceTime: true });
    // The page was opened a while ago, and holds nothing back for its first picture.
    vi.advanceTimersByTime(2_000);
    vi.stubGlobal("EventSource", SilentEventSource);
    vi.stubGlobal("fetch", async (url: string, { method = "GET" }: RequestInit = {}) => {
      const response = responses.get(method === "GET" ? url : `${method} ${url}`);
      if (!response) throw new TypeError("Failed to fetch");
      const { body, status } = response;
      return typeof body === "string"
        ? new Response(body, { status })
        : Response.json(body, { status });
    });
  });

  afterEach(() => {
    cleanup();
    unfollow();
    vi.useRealTimers();
  });
}

export function respond(url: string, body: unknown, status = 200): void {
  responses.set(url, { status, body });
}

/** Shows the router's location to tests. */
function Location() {
  const { pathname, search } = useLocation();
  return <output aria-label="location">{`${pathname}${search}`}</output>;
}

export function openPage(path: string): void {
  const client = createQueryClient();
  unfollow = followFleet(client);
  render(
    <QueryClientProvider client={client}>
      <MemoryRouter initialEntries={[path]}>
        <App />
        <Location />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}
