import { act, fireEvent, screen, within } from "@testing-library/react";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import type { PlayerState } from "../player/player-state";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeFeatured, makeFleet, makeGuest, makeHub, makeWorker } from "../testing/fixtures";

interface FakePlayer {
  worker: string;
  audience: string;
  saliency: boolean;
  onState?: (state: PlayerState) => void;
}

let playerStates: Map<string, (state: PlayerState) => void>;

// Player needs video and has its own tests.
vi.mock("../player/Player", () => ({
  Player: ({ worker, audience, saliency, onState }: FakePlayer) => {
    if (onState) playerStates.set(worker, onState);
    return <p>{`player of ${worker}, ${audience}${saliency ? ", saliency" : ""}`}</p>;
  },
}));
installFakeOrchestrator();

beforeEach(() => {
  playerStates = new Map();
  const two = [makeWorker(0, { stream_state: "live" }), makeWorker(1), makeWorker(2)];
  respond("/api/fleet", makeFleet(two));
  respond("/api/featured", makeFeatured(["omega-0"], "omega-1"));
});

async function tile(worker: string): Promise<HTMLElement> {
  return screen.findByRole("article", { name: worker });
}

test("the live worker is on stage, and all players join as the broadcast audience", async () => {
  openPage("/neural/broadcast");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  expect((await tile("omega-1")).dataset.place).toBe("standby");
  expect(screen.getByText("player of omega-2, broadcast")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Pin omega-2" }).dataset.key).toBe("3");
  expect(await screen.findByText("Next: omega-1 in 12 s.")).toBeTruthy();
});

test("a standby tile leads to the replay of its worker's last episode", async () => {
  const workers = [
    makeWorker(0, { stream_state: "live", episode: 5 }),
    makeWorker(1, { episode: 3 }),
  ];
  respond("/api/fleet", makeFleet(workers));
  openPage("/neural/broadcast");
  const link = within(await tile("omega-1")).getByRole("link", { name: /Watch its last episode/ });
  expect(link.getAttribute("href")).toBe("/replay?episode=last&worker=1");
  expect(screen.getAllByRole("link", { name: /Watch its last episode/ })).toHaveLength(1);
});

test("follows the director once the next worker's video plays", async () => {
  openPage("/neural/broadcast");
  await tile("omega-0");
  const two = [makeWorker(0), makeWorker(1, { stream_state: "live" })];
  respond("/api/fleet", makeFleet(two));
  respond("/api/featured", makeFeatured(["omega-1"], "omega-0"));
  await act(() => vi.advanceTimersByTimeAsync(1_100));
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  act(() => playerStates.get("omega-1")?.("live"));
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  expect((await tile("omega-0")).dataset.place).toBe("standby");
});

test.each([
  [false, 1],
  [true, 0],
])(
  "a cut is a view transition, unless the viewer prefers less motion: %s",
  async (reduced, cuts) => {
    const changed = () => {};
    const matches = (media: string) => reduced && media.includes("reduced-motion");
    vi.stubGlobal("matchMedia", (media: string) => ({
      matches: matches(media),
      addEventListener: changed,
      removeEventListener: changed,
    }));
    openPage("/neural/broadcast");
    await tile("omega-0");
    const transition = vi.fn((change: () => void) => {
      setTimeout(change);
      return { ready: Promise.resolve() };
    });
    Object.assign(document, { startViewTransition: transition });
    onTestFinished(() => void Object.assign(document, { startViewTransition: undefined }));
    onTestFinished(() => void vi.unstubAllGlobals());
    act(() => playerStates.get("omega-1")?.("live"));
    respond("/api/featured", makeFeatured(["omega-1"], "omega-0"));
    await act(() => vi.advanceTimersByTimeAsync(1_100));
    expect((await tile("omega-1")).dataset.place).toBe("stage");
    expect(transition).toHaveBeenCalledTimes(cuts);
  },
);

test("a pin stays though the browser was about to cut to another worker", async () => {
  openPage("/neural/broadcast");
  await tile("omega-0");
  let cut: () => void = () => {};
  document.startViewTransition = (change) => {
    cut = change as () => void;
    return { ready: Promise.resolve() } as unknown as ViewTransition;
  };
  onTestFinished(() => void Object.assign(document, { startViewTransition: undefined }));
  act(() => playerStates.get("omega-1")?.("live"));
  respond("/api/featured", makeFeatured(["omega-1"], "omega-0"));
  await act(() => vi.advanceTimersByTimeAsync(1_100));
  const interrupted = cut;
  fireEvent.keyDown(window, { key: "p" });
  act(() => interrupted());
  const pinned = await tile("omega-0");
  expect(pinned.dataset.place).toBe("stage");
  expect(within(pinned).getByText(/Pinned: /)).toBeTruthy();
});

test("full screen follows the director", async () => {
  Object.defineProperty(document, "fullscreenElement", { value: null, writable: true });
  HTMLElement.prototype.requestFullscreen = async function (this: HTMLElement) {
    Object.assign(document, { fullscreenElement: this });
    document.dispatchEvent(new Event("fullscreenchange"));
  };
  openPage("/neural/broadcast");
  await tile("omega-2");
  fireEvent.keyDown(document.body, { key: "f" });
  const shown = document.fullscreenElement as HTMLElement;
  expect(within(shown).getByRole("article", { name: "omega-0" }).dataset.place).toBe("stage");
  expect(screen.queryByRole("article", { name: "omega-2" })).toBeNull();
  respond("/api/featured", makeFeatured(["omega-1"], "omega-0"));
  respond("/api/fleet", makeFleet([makeWorker(0), makeWorker(1, { stream_state: "live" })]));
  await act(() => vi.advanceTimersByTimeAsync(1_100));
  act(() => playerStates.get("omega-1")?.("live"));
  expect(within(shown).getByRole("article", { name: "omega-1" }).dataset.place).toBe("stage");
  Object.assign(document, { fullscreenElement: null });
});

test("a click pins a worker: on stage at once, labelled, in the URL, with a session requested", async () => {
  openPage("/neural/broadcast");
  fireEvent.click(await screen.findByRole("button", { name: "Pin omega-2" }));
  const pinned = await tile("omega-2");
  expect(pinned.dataset.place).toBe("stage");
  expect(within(pinned).getByText(/Pinned: gets the next free session/)).toBeTruthy();
  expect(screen.getByText("player of omega-2, dedicated")).toBeTruthy();
  expect(screen.getByLabelText("location").textContent).toBe("/neural/broadcast?pin=omega-2");
});

test("keys pin by number and unpin", async () => {
  openPage("/neural/broadcast");
  await tile("omega-0");
  fireEvent.keyDown(window, { key: "2" });
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  fireEvent.keyDown(window, { key: "0" });
  expect(screen.getByLabelText("location").textContent).toBe("/neural/broadcast");
  fireEvent.keyDown(window, { key: "p" });
  expect(screen.getByLabelText("location").textContent).toBe("/neural/broadcast?pin=omega-1");
});

test("saliency follows a cut, and is requested for the worker on stage only", async () => {
  openPage("/neural/broadcast?saliency=1");
  await screen.findByText("player of omega-0, broadcast, saliency");
  fireEvent.keyDown(window, { key: "2" });
  expect(await screen.findByText("player of omega-1, dedicated, saliency")).toBeTruthy();
  expect(screen.getByText("player of omega-0, broadcast")).toBeTruthy();
  expect(screen.getByLabelText("location").textContent).toContain("saliency=1");
});

test("a pinned worker stays on stage while it restarts", async () => {
  openPage("/neural/broadcast?pin=omega-0");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  const ended = makeWorker(0, { stream_state: "starting", stream_error: "omega-0 was killed" });
  const others = [makeWorker(1, { stream_state: "live" }), makeWorker(2)];
  respond("/api/fleet", makeFleet([ended, ...others]));
  respond("/api/featured", makeFeatured(["omega-1"], "omega-2"));
  await act(() => vi.advanceTimersByTimeAsync(2_100));
  act(() => playerStates.get("omega-0")?.("reconnecting"));
  act(() => playerStates.get("omega-1")?.("live"));
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  fireEvent.keyDown(window, { key: "0" });
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  expect((await tile("omega-0")).dataset.place).not.toBe("stage");
});

test("a pin of an unknown worker is ignored", async () => {
  openPage("/neural/broadcast?pin=omega-77");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
});

test("the clean view has no header, controls or tiles", async () => {
  openPage("/neural/broadcast?clean=1");
  await tile("omega-0");
  expect(screen.queryByRole("banner")).toBeNull();
  expect(screen.queryByRole("toolbar")).toBeNull();
  expect(screen.getAllByRole("article")).toHaveLength(1);
  fireEvent.keyDown(window, { key: "c" });
  expect(await screen.findByRole("banner")).toBeTruthy();
});

test("a fleet that starts says what is awaited and for how long", async () => {
  const starting = { "omega-0": { reason: "waits for its turn", waited_s: 4.2 } };
  respond("/api/fleet", makeFleet([], { starting }));
  openPage("/neural/broadcast");
  expect(await screen.findByText("The fleet is starting")).toBeTruthy();
  expect(screen.getByText("omega-0 waits for its turn. 4 s so far.")).toBeTruthy();
});

test("the first page has the live picture, and as many others as fit beside it", async () => {
  const many = Array.from({ length: 16 }, (_, i) =>
    makeWorker(i, { stream_state: i === 9 ? "live" : "standby" }),
  );
  respond("/api/fleet", makeFleet([makeWorker(0, { stream_state: "live" }), ...many.slice(1)]));
  openPage("/");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  expect(screen.getAllByRole("article")).toHaveLength(7);
  expect((await tile("omega-9")).dataset.place).toBe("side");
  expect(screen.getByText("9 more on the", { exact: false })).toBeTruthy();
  expect(await screen.findByRole("table", { name: "Workers" })).toBeTruthy();
});

test("the wall has a tile for every worker, and a stage on request", async () => {
  openPage("/wall");
  expect((await tile("omega-0")).dataset.place).toBe("side");
  expect(screen.getAllByRole("article")).toHaveLength(3);
  fireEvent.keyDown(window, { key: "w" });
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  expect(screen.getByLabelText("location").textContent).toBe("/wall?stage=1");
});

test("a guest on stage has its episode's return and its trainer's speed, and no policy", async () => {
  const note = "it is drawn in the trainer: its wrapper Odd does not record its arguments";
  const guests = [
    makeGuest("CartPole-v1-0", 0, { stream_state: "live", guest: { note } }),
    makeGuest("CartPole-v1-1", 1),
  ];
  respond("/api/fleet", makeHub(guests));
  respond("/api/featured", makeFeatured(["CartPole-v1-0"]));
  openPage("/neural/broadcast");
  const stage = within(await tile("CartPole-v1-0"));
  const stats = stage.getAllByRole("definition").map((each) => each.textContent);
  expect(stats).toEqual(["7.0", "41.0", "7", "1,200"]);
  expect(stage.getByText(/^It is drawn in the trainer/)).toBeTruthy();
  expect(stage.queryByRole("button", { name: /Saliency/ })).toBeNull();
  const beside = within(await tile("CartPole-v1-1"));
  expect(beside.getByText("41.0")).toBeTruthy();
  expect(beside.queryByText(/Watch its last episode/)).toBeNull();
});
