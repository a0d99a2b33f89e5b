import { fireEvent, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { answers, open, say, withOrchestrator } from "../testing/fake-orchestrator";
import { curveOf, episodeOf, runOf } from "../testing/fixtures";

// A plot needs a canvas; a real browser draws it in tests/browser.
vi.mock("../components/Plot", () => ({
  Plot: ({ series }: { series: { name: string }[] }) => (
    <p>{`curves of ${series.map(({ name }) => name).join(" and ")}`}</p>
  ),
}));
withOrchestrator();

function sayRuns(...names: string[]): void {
  say(
    "/api/runs",
    names.map((name) => runOf(name)),
  );
  for (const name of names) {
    say(`/api/runs/${name}/curve?points=2000`, curveOf(1, 2));
    say(`/api/runs/${name}/episodes?order=best&limit=10`, [episodeOf(9)]);
    say(`/api/runs/${name}/checkpoints`, []);
  }
}

test("the two newest runs with episodes are beside each other before anybody chose", async () => {
  sayRuns("third", "second", "first");
  open("/runs");
  expect(await screen.findByText("curves of third and second")).toBeTruthy();
  expect(screen.getByText("Checkpoints of third")).toBeTruthy();
  expect(screen.queryByText("Checkpoints of first")).toBeNull();
});

test("a box adds a run to the curves and to the address, or takes it away", async () => {
  sayRuns("third", "second", "first");
  open("/runs");
  fireEvent.click(await screen.findByRole("checkbox", { name: "first" }));
  expect(await screen.findByText("curves of third and second and first")).toBeTruthy();
  expect(screen.getByLabelText("address").textContent).toBe("/runs?runs=third%2Csecond%2Cfirst");
  for (const name of ["third", "second", "first"])
    fireEvent.click(screen.getByRole("checkbox", { name }));
  expect(await screen.findByText("No run is chosen.")).toBeTruthy();
});

test("an address that names runs opens with them, and leaves out those that are gone", async () => {
  sayRuns("second", "first");
  open("/runs?runs=first,lost");
  expect(await screen.findByText("curves of first")).toBeTruthy();
});

test("checkpoints say how to go on from them", async () => {
  sayRuns("first");
  const best = { name: "best.safetensors", kind: "best", policy_version: 90, steps: 50_000 };
  const rest = { mean_return: 83.2, saved_at: 1_790_000_000, bytes: 1_400_000 };
  say("/api/runs/first/checkpoints", [{ ...best, ...rest }]);
  open("/runs");
  expect(await screen.findByText("./start --mode train --resume first")).toBeTruthy();
  expect(screen.getByRole("cell", { name: "1.4 MB" })).toBeTruthy();
  expect(screen.getByRole("cell", { name: "90.0" })).toBeTruthy();
});

test("says what to do where there is no run yet", async () => {
  say("/api/runs", []);
  open("/runs");
  expect(await screen.findByText("There is no run yet")).toBeTruthy();
});

test("keeps what it knew when the orchestrator is gone, and goes on when it is back", async () => {
  sayRuns("first");
  open("/runs");
  await screen.findByText("curves of first");
  answers.clear();
  await vi.advanceTimersByTimeAsync(5_100);
  expect(await screen.findByText("The orchestrator does not answer")).toBeTruthy();
  expect(screen.getByText("curves of first")).toBeTruthy();
  sayRuns("second", "first");
  await vi.advanceTimersByTimeAsync(5_100);
  expect(await screen.findByText("curves of second and first")).toBeTruthy();
  expect(screen.queryByText("The orchestrator does not answer")).toBeNull();
});
