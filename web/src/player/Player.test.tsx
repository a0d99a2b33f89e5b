import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Player } from "./Player";

class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1) as FakeSocket;
  }
  onopen?: (() => void) | null;
  onclose?: (() => void) | null;
  onmessage?: ((event: { data: string }) => void) | null;
  close = vi.fn();
  constructor(readonly address: URL) {
    FakeSocket.all.push(this);
  }
  say(message: object) {
    act(() => this.onmessage?.({ data: JSON.stringify(message) }));
  }
}

let scroll: (inView: boolean) => void;

class FakeObserver {
  constructor(callback: (entries: { isIntersecting: boolean }[]) => void) {
    scroll = (inView) => act(() => callback([{ isIntersecting: inView }]));
  }
  observe() {}
  disconnect() {}
}

beforeEach(() => {
  FakeSocket.all = [];
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

function join(): HTMLElement {
  render(<Player worker="omega-1" audience="broadcast" />);
  scroll(true);
  act(() => FakeSocket.last.onopen?.());
  return screen.getByRole("region", { name: "Stream of omega-1" });
}

test("it connects at once when it is in view, without waiting for a painted frame", () => {
  render(<Player worker="omega-1" />);
  expect(FakeSocket.all).toHaveLength(1);
});

test("it downloads nothing before it is in view", () => {
  const below = new DOMRect(0, 5_000, 320, 180);
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockReturnValue(below);
  render(<Player worker="omega-1" />);
  expect(FakeSocket.all).toEqual([]);
  scroll(true);
  expect(FakeSocket.last.address.pathname).toBe("/api/worker/omega-1/stream");
});

test("standby says what it is and why, with a picture a second", async () => {
  const player = join();
  FakeSocket.last.say({ type: "state", state: "standby", reason: "omega-0 has the session." });
  expect(player.dataset.state).toBe("standby");
  expect(screen.getByRole("status").textContent).toBe("STANDBY — TRAINING WITHOUT A SESSION");
  expect(screen.getByText("omega-0 has the session.")).toBeTruthy();
  await act(() => vi.advanceTimersByTimeAsync(50));
  const first = screen.getByRole("img").getAttribute("src");
  expect(first).toMatch(/^blob:/);
  await act(() => vi.advanceTimersByTimeAsync(1_000));
  expect(screen.getByRole("img").getAttribute("src")).not.toBe(first);
});

test("out of view it closes the socket, stops the pictures, and says PAUSED", async () => {
  const player = join();
  FakeSocket.last.say({ type: "state", state: "standby", reason: "" });
  await act(() => vi.advanceTimersByTimeAsync(50));
  scroll(false);
  expect(player.dataset.state).toBe("paused");
  expect(FakeSocket.last.close).toHaveBeenCalledOnce();
  const asked = vi.mocked(fetch).mock.calls.length;
  await act(() => vi.advanceTimersByTimeAsync(5_000));
  expect(fetch).toHaveBeenCalledTimes(asked);
});

test("a lost connection is told, with the last picture, and made again", async () => {
  const player = join();
  FakeSocket.last.say({ type: "state", state: "standby", reason: "" });
  await act(() => vi.advanceTimersByTimeAsync(50));
  act(() => FakeSocket.last.onclose?.());
  expect(player.dataset.state).toBe("reconnecting");
  expect(screen.getByRole("img")).toBeTruthy();
  await act(() => vi.advanceTimersByTimeAsync(1_000));
  expect(FakeSocket.all).toHaveLength(2);
});

test("a browser that can't play the stream says so", () => {
  const player = join();
  FakeSocket.last.say({ type: "state", state: "live", reason: "" });
  FakeSocket.last.say({ type: "epoch", epoch: 1, mime: "video/mp4", width: 16, height: 16 });
  expect(player.dataset.state).toBe("error");
  expect(screen.getByText(/no Media Source Extensions/)).toBeTruthy();
});

test("nothing stays open after it was taken off the page", () => {
  join();
  cleanup();
  expect(FakeSocket.last.close).toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
