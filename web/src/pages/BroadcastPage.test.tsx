import { act, fireEvent, screen, within } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { PlayerState } from "../player/player-state";
import { open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { featuredOf, fleetOf, workerStatus } from "../testing/fixtures";

interface FakePlayer {
  worker: string;
  audience: string;
  attention: boolean;
  onState?: (state: PlayerState) => void;
}

let tell: Map<string, (state: PlayerState) => void>;

// A player needs video; it has tests of its own.
vi.mock("../player/Player", () => ({
  Player: ({ worker, audience, attention, onState }: FakePlayer) => {
    if (onState) tell.set(worker, onState);
    return <p>{`player of ${worker}, ${audience}${attention ? ", attention" : ""}`}</p>;
  },
  toggleFullscreen: () => {},
}));
withOrchestrator();

beforeEach(() => {
  tell = new Map();
  const two = [workerStatus(0, { stream_state: "live" }), workerStatus(1), workerStatus(2)];
  say("/api/fleet", fleetOf(two));
  say("/api/featured", featuredOf(["omega-0"], "omega-1"));
});

async function tile(worker: string): Promise<HTMLElement> {
  return screen.findByRole("article", { name: worker });
}

test("the live one is large, the others are small, all as viewers of the broadcast", async () => {
  open("/neural/broadcast");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  expect((await tile("omega-1")).dataset.place).toBe("standby");
  expect(screen.getByText("player of omega-2, broadcast")).toBeTruthy();
  expect(await screen.findByText("Next: omega-1 in 12 s.")).toBeTruthy();
});

test("follows the director when the next one's picture moves, and not before", async () => {
  open("/neural/broadcast");
  await tile("omega-0");
  const two = [workerStatus(0), workerStatus(1, { stream_state: "live" })];
  say("/api/fleet", fleetOf(two));
  say("/api/featured", featuredOf(["omega-1"], "omega-0"));
  await act(() => vi.advanceTimersByTimeAsync(1_100));
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  act(() => tell.get("omega-1")?.("live"));
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  expect((await tile("omega-0")).dataset.place).toBe("standby");
});

test("a worker is pinned with a click: large at once, said so, in the address, and asked for", async () => {
  open("/neural/broadcast");
  fireEvent.click(await screen.findByRole("button", { name: "Pin omega-2" }));
  const pinned = await tile("omega-2");
  expect(pinned.dataset.place).toBe("stage");
  expect(within(pinned).getByText(/Pinned: it gets the next session/)).toBeTruthy();
  expect(screen.getByText("player of omega-2, dedicated")).toBeTruthy();
  expect(screen.getByLabelText("address").textContent).toBe("/neural/broadcast?pin=omega-2");
});

test("the keyboard pins by number and lets go again", async () => {
  open("/neural/broadcast");
  await tile("omega-0");
  fireEvent.keyDown(window, { key: "2" });
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  fireEvent.keyDown(window, { key: "0" });
  expect(screen.getByLabelText("address").textContent).toBe("/neural/broadcast");
  fireEvent.keyDown(window, { key: "p" });
  expect(screen.getByLabelText("address").textContent).toBe("/neural/broadcast?pin=omega-1");
});

test("the heat map goes along with a cut, and only the large worker is asked for it", async () => {
  open("/neural/broadcast?heat=1");
  await screen.findByText("player of omega-0, broadcast, attention");
  fireEvent.keyDown(window, { key: "2" });
  expect(await screen.findByText("player of omega-1, dedicated, attention")).toBeTruthy();
  expect(screen.getByText("player of omega-0, broadcast")).toBeTruthy();
  expect(screen.getByLabelText("address").textContent).toContain("heat=1");
});

test("a pinned worker that has died stays large, with its last picture, until it is back", async () => {
  open("/neural/broadcast?pin=omega-0");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  const others = [workerStatus(1, { stream_state: "live" }), workerStatus(2)];
  say("/api/fleet", fleetOf(others));
  say("/api/featured", featuredOf(["omega-1"], "omega-2"));
  await act(() => vi.advanceTimersByTimeAsync(2_100));
  act(() => tell.get("omega-0")?.("reconnecting"));
  act(() => tell.get("omega-1")?.("live"));
  expect((await tile("omega-0")).dataset.place).toBe("stage");
  fireEvent.keyDown(window, { key: "0" });
  expect((await tile("omega-1")).dataset.place).toBe("stage");
  expect((await tile("omega-0")).dataset.place).not.toBe("stage");
});

test("a pin of a worker that isn't there is as none", async () => {
  open("/neural/broadcast?pin=omega-77");
  expect((await tile("omega-0")).dataset.place).toBe("stage");
});

test("clean is the picture alone: no header, no controls, no tiles", async () => {
  open("/neural/broadcast?clean=1");
  await tile("omega-0");
  expect(screen.queryByRole("banner")).toBeNull();
  expect(screen.queryByRole("toolbar")).toBeNull();
  expect(screen.getAllByRole("article")).toHaveLength(1);
  fireEvent.keyDown(window, { key: "c" });
  expect(await screen.findByRole("banner")).toBeTruthy();
});

test("says when there is nobody to show", async () => {
  say("/api/fleet", fleetOf([]));
  open("/neural/broadcast");
  expect(await screen.findByText("Nobody is on stage yet")).toBeTruthy();
});
