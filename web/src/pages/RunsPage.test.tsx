import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import {
  installFakeOrchestrator,
  openPage,
  respond,
  responses,
} from "../testing/fake-orchestrator";
import { makeCurve, makeEpisode, makeRun } from "../testing/fixtures";

// Plot needs a canvas; tests/browser covers it.
vi.mock("../components/Plot", () => ({
  Plot: ({ series, onPick }: { series: { name: string }[]; onPick: typeof pickLine }) => {
    pickLine = onPick;
    return <p>{`curves of ${series.map(({ name }) => name).join(" and ")}`}</p>;
  },
}));
installFakeOrchestrator();

let pickLine: (line: number, step: number) => void;

function respondRuns(...names: string[]): void {
  respond(
    "/api/runs",
    names.map((name) => makeRun(name)),
  );
  for (const name of names) {
    respond(`/api/runs/${name}/curve?points=2000`, makeCurve(1, 2));
    respond(`/api/runs/${name}/episodes?order=best&limit=10`, [makeEpisode(9)]);
    respond(`/api/runs/${name}/checkpoints`, []);
  }
}

test("the two newest runs with episodes are selected by default", async () => {
  respondRuns("third", "second", "first");
  openPage("/runs");
  expect(await screen.findByText("curves of third and second")).toBeTruthy();
  expect(screen.getByText("Checkpoints of third")).toBeTruthy();
  expect(screen.queryByText("Checkpoints of first")).toBeNull();
});

test("a checkbox adds or removes a run, in the plot and in the URL", async () => {
  respondRuns("third", "second", "first");
  openPage("/runs");
  fireEvent.click(await screen.findByRole("checkbox", { name: "first" }));
  expect(await screen.findByText("curves of third and second and first")).toBeTruthy();
  expect(screen.getByLabelText("location").textContent).toBe("/runs?runs=third%2Csecond%2Cfirst");
  for (const name of ["third", "second", "first"])
    fireEvent.click(screen.getByRole("checkbox", { name }));
  expect(await screen.findByText("No run selected.")).toBeTruthy();
});

test("runs of another game than the newest are not selected by default", async () => {
  respondRuns("third", "second", "first");
  const other = { game: "gym:CartPole-v1" };
  respond("/api/runs", [makeRun("third"), { ...makeRun("second"), ...other }, makeRun("first")]);
  openPage("/runs");
  expect(await screen.findByText("curves of third and first")).toBeTruthy();
});

test("each game has a plot of its own", async () => {
  respondRuns("second", "first");
  respond("/api/runs", [makeRun("second"), { ...makeRun("first"), game: "gym:CartPole-v1" }]);
  openPage("/runs?runs=second,first");
  expect(await screen.findByText("curves of second")).toBeTruthy();
  expect(screen.getByText("curves of first")).toBeTruthy();
  expect(screen.getByRole("heading", { name: "gym:CartPole-v1" })).toBeTruthy();
});

test("with five runs selected no other can be, and their details are folded up", async () => {
  const names = ["f", "e", "d", "c", "b", "a"];
  respondRuns(...names);
  openPage("/runs?runs=f,e,d,c,b");
  const sixth = await screen.findByRole("checkbox", { name: "a" });
  expect(sixth).toHaveProperty("disabled", true);
  expect(screen.getByText("5 runs are selected; deselect one to compare another.")).toBeTruthy();
  expect(document.querySelectorAll("details.run-fold")).toHaveLength(5);
  fireEvent.click(screen.getByRole("checkbox", { name: "b" }));
  expect(await screen.findByRole("checkbox", { name: "a" })).toHaveProperty("disabled", false);
});

test("the URL selects runs, except unknown ones", async () => {
  respondRuns("second", "first");
  openPage("/runs?runs=first,lost");
  expect(await screen.findByText("curves of first")).toBeTruthy();
});

test("checkpoints show the command that resumes from them", async () => {
  respondRuns("first");
  const best = { name: "best.safetensors", kind: "best", policy_version: 90, steps: 50_000 };
  const rest = { mean_return: 83.2, saved_at: 1_790_000_000, bytes: 1_400_000 };
  respond("/api/runs/first/checkpoints", [{ ...best, ...rest }]);
  openPage("/runs");
  expect(await screen.findByText("./start --mode train --resume first")).toBeTruthy();
  expect(screen.getByRole("cell", { name: "1.4 MB" })).toBeTruthy();
  expect(screen.getByRole("cell", { name: "90.0" })).toBeTruthy();
});

test("best episodes, and every point of a curve, lead to replays of their run", async () => {
  respondRuns("second", "first");
  openPage("/runs");
  const links = await screen.findAllByRole("link", { name: "Watch episode 9 of omega-0" });
  expect(links.map((link) => link.getAttribute("href"))).toEqual([
    "/replay?run=second&episode=9",
    "/replay?run=first&episode=9",
  ]);
  expect(screen.getAllByRole("link", { name: "worst" })[0]?.getAttribute("href")).toBe(
    "/replay?run=second&episode=worst",
  );
  act(() => pickLine(1, 700));
  await waitFor(() =>
    expect(screen.getByLabelText("location").textContent).toBe("/replay?run=first&step=700"),
  );
});

test("the best live episode of a run can be watched and saved", async () => {
  respondRuns("second", "first");
  const highlight = { worker_index: 2, episode: 41, total_reward: 93.5, ended_at: 1_790_000_000 };
  respond("/api/runs/second/highlight", { ...highlight, duration: 9, bytes: 100, whole: false });
  respond("/api/runs/first/highlight", null);
  openPage("/runs");
  const video = await screen.findByLabelText("Best live episode of second");
  const url = "/api/runs/second/highlight.mp4?ended_at=1790000000";
  expect(video.getAttribute("src")).toBe(url);
  expect(screen.getByRole("link", { name: "Save it" }).getAttribute("href")).toBe(url);
  expect(video.closest("figure")?.textContent).toContain("Part of it was not live.");
  expect(screen.queryByLabelText("Best live episode of first")).toBeNull();
});

test("says how to start a run when there are none", async () => {
  respond("/api/runs", []);
  openPage("/runs");
  expect(await screen.findByText("No runs yet")).toBeTruthy();
});

test("keeps the last data when the connection is lost, and recovers by itself", async () => {
  respondRuns("first");
  openPage("/runs");
  await screen.findByText("curves of first");
  responses.clear();
  await vi.advanceTimersByTimeAsync(5_100);
  expect(await screen.findByText("Lost connection to the orchestrator")).toBeTruthy();
  expect(screen.getByText("curves of first")).toBeTruthy();
  respondRuns("second", "first");
  await vi.advanceTimersByTimeAsync(5_100);
  expect(await screen.findByText("curves of second and first")).toBeTruthy();
  expect(screen.queryByText("Lost connection to the orchestrator")).toBeNull();
});

test("each curve that was recorded has a chart, with what it means", async () => {
  respondRuns("second");
  const learning = {
    steps: [1_024, 2_048],
    times: [1_790_000_000, 1_790_000_010],
    values: { "update/entropy": [0.9, 0.5], "update/kl": [null, null] },
  };
  respond("/api/runs/second/learning?points=1000", learning);
  openPage("/runs");
  expect(await screen.findByRole("heading", { name: "Entropy" })).toBeTruthy();
  expect(screen.getByText(/How undecided the policy is/)).toBeTruthy();
  expect(screen.queryByRole("heading", { name: "KL divergence" })).toBeNull();
});

test("how curves are shown is part of the address", async () => {
  respondRuns("second");
  openPage("/runs");
  fireEvent.change(await screen.findByLabelText("Over"), { target: { value: "time" } });
  fireEvent.click(screen.getByRole("checkbox", { name: "Log scale" }));
  fireEvent.click(screen.getByRole("checkbox", { name: "Band" }));
  fireEvent.change(screen.getByRole("slider"), { target: { value: "0.1" } });
  expect(screen.getByLabelText("location").textContent).toBe(
    "/runs?x=time&log=1&band=0&smooth=0.1",
  );
});

test("settings of two runs are compared", async () => {
  respondRuns("second", "first");
  respond("/api/runs/second/settings", { game: "doom:basic", "learning.gamma": "0.99" });
  respond("/api/runs/first/settings", { game: "doom:basic", "learning.gamma": "0.9" });
  openPage("/runs");
  const table = await screen.findByRole("table", { name: "Settings of the selected runs" });
  expect(
    within(table)
      .getAllByRole("rowheader")
      .map((row) => row.textContent),
  ).toEqual(["learning.gamma"]);
  fireEvent.click(screen.getByRole("checkbox", { name: /Only those in which/ }));
  expect(within(table).getAllByRole("rowheader")).toHaveLength(2);
});

test("notes are saved, and a run that is archived leaves the list", async () => {
  respondRuns("second", "first");
  const notes = { title: "larger net", note: "", tags: ["sweep"], archived: true };
  respond("PUT /api/runs/second/notes", notes);
  openPage("/runs?runs=second");
  const form = within(await screen.findByRole("region", { name: "Notes on second" }));
  fireEvent.change(form.getByLabelText("Title"), { target: { value: "larger net" } });
  respond("/api/runs", [makeRun("second", { notes }), makeRun("first")]);
  fireEvent.click(form.getByRole("button", { name: "Archive" }));
  expect(await form.findByText("Saved.")).toBeTruthy();
  const table = within(screen.getByRole("table", { name: /^Runs/ }));
  await waitFor(() => expect(table.queryByText("larger net")).toBeNull());
  fireEvent.click(screen.getByRole("checkbox", { name: "Show archived runs" }));
  expect(table.getByText("larger net")).toBeTruthy();
  expect(table.getByText("sweep")).toBeTruthy();
});

test("a run is deleted only after a question, and says so if it can't be", async () => {
  respondRuns("second");
  respond("DELETE /api/runs/second", { error: "conflict", message: "run second is in use" }, 409);
  openPage("/runs");
  fireEvent.click(await screen.findByRole("button", { name: "Delete…" }));
  fireEvent.click(screen.getByRole("button", { name: "Delete it" }));
  expect(await screen.findByText("Not done: run second is in use")).toBeTruthy();
});
