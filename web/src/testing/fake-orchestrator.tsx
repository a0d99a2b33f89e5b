/** For tests of pages: an orchestrator that answers what it is told to, and a browser that asks. */

import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render } from "@testing-library/react";
import { MemoryRouter, useLocation } from "react-router";
import { afterEach, beforeEach, vi } from "vitest";
import { Pages } from "../App";
import { createQueryClient } from "../api/queries";

/** What the orchestrator says; an address that is missing is one that does not answer. */
export const answers = new Map<string, { status: number; body: unknown }>();

class SilentEvents {
  static CLOSED = 2;
  close() {}
}

export function withOrchestrator(): void {
  beforeEach(() => {
    answers.clear();
    vi.useFakeTimers({ shouldAdvanceTime: true });
    vi.stubGlobal("EventSource", SilentEvents);
    vi.stubGlobal("fetch", async (address: string) => {
      const answer = answers.get(address);
      if (!answer) throw new TypeError("Failed to fetch");
      return Response.json(answer.body, { status: answer.status });
    });
  });

  afterEach(() => {
    cleanup();
    vi.useRealTimers();
  });
}

export function say(address: string, body: unknown, status = 200): void {
  answers.set(address, { status, body });
}

/** The address that the browser shows now. */
function Address() {
  const { pathname, search } = useLocation();
  return <output aria-label="address">{`${pathname}${search}`}</output>;
}

export function open(address: string): void {
  render(
    <QueryClientProvider client={createQueryClient()}>
      <MemoryRouter initialEntries={[address]}>
        <Pages />
        <Address />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}
