import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Player } from "./Player";

class FakeSocket {
  static instances: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.instances.at(-1) as FakeSocket;
  }
  onopen?: (() => void) | null;
  onclose?: (() => void) | null;
  onmessage?: ((event: { data: string }) => void) | null;
  close = vi.fn();
  constructor(readonly url: URL) {
    FakeSocket.instances.push(this);
  }
  receive(message: object) {
    act(() => this.onmessage?.({ data: JSON.stringify(message) }));
  }
}

let setInView: (inView: boolean) => void;

class FakeObserver {
  constructor(callback: (entries: { isIntersecting: boolean }[]) => void) {
    setInView = (inView) => act(() => callback([{ isIntersecting: inView }]));
  }
  observe() {}
  disconnect() {}
}

beforeEach(() => {
  FakeSocket.instances = [];
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal("IntersectionObserver", FakeObserver);
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => new Response(new Blob(["jpeg"]))),
  );
  vi.spyOn(URL, "createObjectURL").mockImplementation(() => `blob:here/${Math.random()}`);
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function renderPlayer(): HTMLElement {
  render(<Player worker="omega-1" audience="broadcast" />);
  setInView(true);
  act(() => FakeSocket.last.onopen?.());
  return screen.getByRole("region", { name: "Stream of omega-1" });
}

test("connects at once when in view, without waiting for a paint", () => {
  render(<Player worker="omega-1" />);
  expect(FakeSocket.instances).toHaveLength(1);
});

test("downloads nothing before it is in view", () => {
  const below = new DOMRect(0, 5_000, 320, 180);
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockReturnValue(below);
  render(<Player worker="omega-1" />);
  expect(FakeSocket.instances).toEqual([]);
  setInView(true);
  expect(FakeSocket.last.url.pathname).toBe("/api/worker/omega-1/stream");
});

test("standby shows its label, the reason and a snapshot a second", async () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "omega-0 has the session." });
  expect(player.dataset.state).toBe("standby");
  expect(screen.getByRole("status").textContent).toBe("STANDBY — TRAINING WITHOUT A SESSION");
  expect(screen.getByText("omega-0 has the session.")).toBeTruthy();
  await act(() => vi.advanceTimersByTimeAsync(50));
  const first = screen.getByRole("img").getAttribute("src");
  expect(first).toMatch(/^blob:/);
  await act(() => vi.advanceTimersByTimeAsync(1_000));
  expect(screen.getByRole("img").getAttribute("src")).not.toBe(first);
});

test("out of view it closes the socket, stops fetching snapshots and is paused", async () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "" });
  await act(() => vi.advanceTimersByTimeAsync(50));
  setInView(false);
  expect(player.dataset.state).toBe("paused");
  expect(FakeSocket.last.close).toHaveBeenCalledOnce();
  const requests = vi.mocked(fetch).mock.calls.length;
  await act(() => vi.advanceTimersByTimeAsync(5_000));
  expect(fetch).toHaveBeenCalledTimes(requests);
});

test("a lost connection is shown with the last snapshot, and reopened", async () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "" });
  await act(() => vi.advanceTimersByTimeAsync(50));
  act(() => FakeSocket.last.onclose?.());
  expect(player.dataset.state).toBe("reconnecting");
  expect(screen.getByRole("img")).toBeTruthy();
  await act(() => vi.advanceTimersByTimeAsync(1_000));
  expect(FakeSocket.instances).toHaveLength(2);
});

test("says when the browser cannot play the stream", () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "live", reason: "" });
  FakeSocket.last.receive({ type: "epoch", epoch: 1, mime: "video/mp4", width: 16, height: 16 });
  expect(player.dataset.state).toBe("error");
  expect(screen.getByText(/lacks Media Source Extensions/)).toBeTruthy();
});

test("nothing stays open after unmounting", () => {
  renderPlayer();
  cleanup();
  expect(FakeSocket.last.close).toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
