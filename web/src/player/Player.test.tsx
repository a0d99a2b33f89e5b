import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { socketUrl } from "../streams/urls";
import { openEarly, settled } from "./early-player";
import { Player } from "./Player";

class FakeSocket {
  static instances: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.instances.at(-1) as FakeSocket;
  }
  onopen?: (() => void) | null;
  onclose?: (() => void) | null;
  onmessage?: ((event: { data: string }) => void) | null;
  static OPEN = 1;
  readyState = 0;
  close = vi.fn();
  send = vi.fn();
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

test("standby shows its label, the reason and the newest still", () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "omega-0 has the session." });
  expect(player.dataset.state).toBe("standby");
  expect(screen.getByRole("status").textContent).toBe("STANDBY — TRAINING WITHOUT A SESSION");
  expect(screen.getByText("omega-0 has the session.")).toBeTruthy();
  FakeSocket.last.receive({ type: "still", jpeg: "Zmlyc3Q=" });
  FakeSocket.last.receive({ type: "still", jpeg: "c2Vjb25k" });
  expect(screen.getByRole("img").getAttribute("src")).toBe("data:image/jpeg;base64,c2Vjb25k");
});

test("asks for stills as wide as it is", () => {
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(300);
  renderPlayer();
  const [text] = FakeSocket.last.send.mock.calls.at(-1) as [string];
  expect(JSON.parse(text)).toEqual({ type: "stills", max_width: 320 });
});

test("out of view it closes the socket and is paused", () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "" });
  setInView(false);
  expect(player.dataset.state).toBe("paused");
  expect(FakeSocket.last.close).toHaveBeenCalledOnce();
});

test("a lost connection is shown with the last still, and reopened", async () => {
  const player = renderPlayer();
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "" });
  FakeSocket.last.receive({ type: "still", jpeg: "Zmlyc3Q=" });
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

test("shows at once what was received while the page loaded", () => {
  openEarly(socketUrl("omega-1", "broadcast"));
  act(() => FakeSocket.last.onopen?.());
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "omega-0 has the session." });
  const player = renderPlayer();
  expect(FakeSocket.instances).toHaveLength(1);
  expect(player.dataset.state).toBe("standby");
  expect(player.querySelector("video")).toBeTruthy();
});

test("waits until it is known what is shown, but not for long", async () => {
  const player = openEarly(socketUrl("omega-1", "broadcast"));
  const known = vi.fn();
  void settled(player, 500).then(known);
  act(() => FakeSocket.last.onopen?.());
  await act(() => vi.advanceTimersByTimeAsync(400));
  expect(known).not.toHaveBeenCalled();
  await act(() => vi.advanceTimersByTimeAsync(100));
  expect(known).toHaveBeenCalledOnce();
  const soon = settled(player, 500);
  FakeSocket.last.receive({ type: "state", state: "standby", reason: "" });
  await soon;
  await settled(player, 500);
  player.close();
});

test("a stream that was opened early and is not shown is closed soon", () => {
  openEarly(socketUrl("omega-0", "broadcast"));
  const early = FakeSocket.last;
  renderPlayer();
  expect(FakeSocket.instances).toHaveLength(2);
  act(() => vi.advanceTimersByTime(5_000));
  expect(early.close).toHaveBeenCalledOnce();
});

test("nothing stays open after unmounting", () => {
  renderPlayer();
  cleanup();
  expect(FakeSocket.last.close).toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
