import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { ReplaySaliency } from "../api/schema";
import { installFakeOrchestrator, openPage, respond } from "../testing/fake-orchestrator";
import { makeEpisode, makeFleet, makeReplaySaliency, makeTrack } from "../testing/fixtures";

// Videos need a browser; tests/browser covers them.
vi.mock("../replays/replay-video", () => ({
  ReplayVideo: class {
    whole = false;
    failure = null;
    available = 0;
    constructor(readonly element: HTMLVideoElement) {}
    close() {}
  },
}));
installFakeOrchestrator();

const EPISODES = "/api/runs/first/episodes";

function respondEpisode(id: number, changes = {}) {
  respond(`${EPISODES}/${id}`, makeEpisode(8, { id, policy_version: 42, ...changes }));
  respond(`${EPISODES}/${id}/replay`, { state: "rendering", position: null, message: null });
  respond(`${EPISODES}/${id}/replay.json`, makeTrack());
}

beforeEach(() => {
  respond("/api/fleet", makeFleet([]));
  respondEpisode(12);
});

function respondSaliency(map: ReplaySaliency) {
  respond(`${EPISODES}/12/replay.saliency`, `${JSON.stringify(map)}\n`);
}

/** Let the video show its first frame. */
function showFrame() {
  fireEvent.timeUpdate(
    screen.getByLabelText("replay of episode 8 of omega-0", { selector: "video" }),
  );
}

function location(): string | null {
  return screen.getByLabelText("location").textContent;
}

test("shows the episode, its facts and its timeline", async () => {
  openPage("/replay?run=first&episode=12");
  expect(await screen.findByRole("heading", { name: "Episode 8 of omega-0" })).toBeTruthy();
  expect(screen.getByText("policy 42")).toBeTruthy();
  const slider = await screen.findByRole("slider", { name: "Position in the episode" });
  expect(slider.getAttribute("aria-valuetext")).toBe("0:00.0 of 0:00.3");
  expect(screen.getByRole("region", { name: "replay of episode 8 of omega-0" })).toBeTruthy();
  expect(screen.getByText("DRAWING")).toBeTruthy();
});

test("a link to the last episode of a worker becomes one to that very episode", async () => {
  respond(`${EPISODES}?replayable=true&order=newest&limit=1&worker=0`, [
    makeEpisode(8, { id: 12 }),
  ]);
  openPage("/replay?episode=last&worker=0&t=0.2");
  await waitFor(() => expect(location()).toBe("/replay?run=first&episode=12&t=0.2"));
  expect(screen.getByRole("heading", { name: "Episode 8 of omega-0" })).toBeTruthy();
});

test("a step of the learning curve leads to the nearest episode", async () => {
  respond(`${EPISODES}/nearest?fleet_step=5000`, makeEpisode(8, { id: 12 }));
  openPage("/replay?run=first&step=5000");
  await waitFor(() => expect(location()).toBe("/replay?run=first&episode=12"));
  expect(screen.getByRole("heading", { name: "Episode 8 of omega-0" })).toBeTruthy();
});

test("says why an episode without a log can't be repeated", async () => {
  respond(`${EPISODES}/3`, makeEpisode(8, { id: 3, replayable: false }));
  openPage("/replay?run=first&episode=3");
  expect(await screen.findByText(/The log of episode 8 of omega-0 is not kept/)).toBeTruthy();
  expect(screen.getByText(/Runs from before version 0.2 have no logs/)).toBeTruthy();
});

test("says when a run has no episode that can be repeated, and plays the first one", async () => {
  respond(`${EPISODES}?replayable=true&order=best&limit=1`, []);
  openPage("/replay?run=first&episode=best");
  expect(await screen.findByText(/No episode of first can be repeated yet/)).toBeTruthy();
  respond(`${EPISODES}?replayable=true&order=best&limit=1`, [makeEpisode(8, { id: 12 })]);
  await vi.advanceTimersByTimeAsync(2_100);
  expect(await screen.findByRole("slider")).toBeTruthy();
});

test("says when there is no such episode", async () => {
  const body = { error: "no_such_episode", message: "run first has no episode with id 99" };
  respond(`${EPISODES}/99`, body, 404);
  openPage("/replay?run=first&episode=99");
  expect(await screen.findByText("Run first has no episode with id 99.")).toBeTruthy();
});

test("says that the episode can't be repeated, and shows no thoughts as if it could", async () => {
  const message = "from decision 2 on, the game went another way";
  respond(`${EPISODES}/12/replay`, { state: "different", position: null, message });
  openPage("/replay?run=first&episode=12");
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toBe("From decision 2 on, the game went another way.");
  expect(within(alert).queryByRole("button")).toBeNull();
  expect(screen.getByRole("button", { name: /^Play/ }).hasAttribute("disabled")).toBe(true);
});

test("a failure can be tried again", async () => {
  const message = "the renderer was killed";
  respond(`${EPISODES}/12/replay`, { state: "failed", position: null, message });
  openPage("/replay?run=first&episode=12");
  fireEvent.click(await screen.findByRole("button", { name: "Try again" }));
  respondEpisode(12);
  await vi.advanceTimersByTimeAsync(600);
  expect(await screen.findByText("DRAWING")).toBeTruthy();
  expect(screen.queryByRole("alert")).toBeNull();
});

test("then and now has two videos on one seek bar, and compares the returns", async () => {
  respond(`${EPISODES}/12/rematch`, { state: "queued", position: 1, message: null });
  respond(`${EPISODES}/12/rematch.json`, makeTrack({ total_reward: 93, policy_version: 900 }));
  openPage("/replay?run=first&episode=12&t=0.1");
  await screen.findByRole("slider");
  fireEvent.keyDown(window, { key: "n" });
  expect(location()).toBe("/replay?run=first&episode=12&with=rematch");
  const now = (await screen.findByText("policy 900", { exact: false })).textContent;
  expect(now).toBe("return 93.0 +83.0, policy 900");
  expect(screen.getAllByRole("slider")).toHaveLength(1);
  expect(screen.getByText("Another replay is being drawn; this one comes next.")).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: /Then and now/ }));
  expect(screen.queryByText("Now")).toBeNull();
});

test("keys change the speed and pause, and the thoughts can be hidden", async () => {
  openPage("/replay?run=first&episode=12");
  await screen.findByRole("slider");
  const pressed = (name: string | RegExp) =>
    screen.getByRole("button", { name }).getAttribute("aria-pressed");
  fireEvent.keyDown(window, { key: ">" });
  expect(pressed("2×")).toBe("true");
  fireEvent.click(screen.getByRole("button", { name: "8×" }));
  expect([pressed("2×"), pressed("8×")]).toEqual(["false", "true"]);
  fireEvent.keyDown(window, { key: " " });
  expect(screen.getByRole("button", { name: /^Play/ })).toBeTruthy();
  fireEvent.keyDown(window, { key: "t" });
  expect(location()).toBe("/replay?run=first&episode=12&thoughts=0");
});

test("the saliency overlay is toggled with its key, and its map is that of the frame", async () => {
  respondSaliency(makeReplaySaliency(0));
  openPage("/replay?run=first&episode=12");
  await screen.findByRole("slider");
  showFrame();
  expect(screen.queryByText("Saliency map")).toBeNull();
  fireEvent.keyDown(window, { key: "h" });
  expect(location()).toBe("/replay?run=first&episode=12&saliency=1");
  const map = "Saliency map in the replay of episode 8 of omega-0";
  expect(await screen.findByRole("img", { name: map })).toBeTruthy();
  fireEvent.keyDown(window, { key: "h" });
  expect(screen.queryByRole("img", { name: map })).toBeNull();
});

test("a step that an earlier policy decided has a line in place of a map", async () => {
  const none = { columns: 0, rows: 0, cells: null };
  respondSaliency(makeReplaySaliency(0, none));
  openPage("/replay?run=first&episode=12&saliency=1");
  await screen.findByRole("slider");
  showFrame();
  expect(await screen.findByText(/an earlier policy chose this action/)).toBeTruthy();
  expect(screen.queryByRole("img", { name: /Saliency map/ })).toBeNull();
});

test("says why a replay has no saliency maps, and offers none", async () => {
  const reason = "there are no saliency maps, because the checkpoint of policy 42 is not kept";
  respond(`${EPISODES}/12/replay.json`, makeTrack({ no_saliency: reason }));
  openPage("/replay?run=first&episode=12");
  await screen.findByRole("slider");
  showFrame();
  const button = screen.getByRole("button", { name: /Saliency/ });
  expect(button.hasAttribute("disabled")).toBe(true);
  const sentence = "There are no saliency maps, because the checkpoint of policy 42 is not kept.";
  expect(button.title).toBe(sentence);
  fireEvent.keyDown(window, { key: "h" });
  expect(await screen.findByText(sentence)).toBeTruthy();
  expect(screen.queryByRole("img", { name: /Saliency map/ })).toBeNull();
});
