import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeThought } from "../testing/fixtures";
import { ThoughtsPanel } from "./Thoughts";

afterEach(cleanup);

function show(changes: Parameters<typeof makeThought>[1]): void {
  const thought = makeThought(1, changes);
  const view = { actions: ["left", "right"], thought, recent: [thought], saliency: null };
  render(<ThoughtsPanel {...view} />);
}

test("a thought has the policy's value and the probabilities of its actions", () => {
  show({});
  expect(screen.getByText("Value")).toBeTruthy();
  expect(screen.getByText("75%")).toBeTruthy();
});

test("what a trainer does not say is not shown, and its text is", () => {
  show({ value: null, probabilities: [], text: "grasps the cup" });
  expect(screen.queryByText("Value")).toBeNull();
  expect(screen.queryByRole("list")).toBeNull();
  expect(screen.getByText("grasps the cup")).toBeTruthy();
});
