import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { useShortcuts } from "./shortcuts";

afterEach(cleanup);

const REPEATED = new Set([","]);

function Field({ actions }: { actions: Record<string, () => void> }) {
  useShortcuts(actions, REPEATED);
  return (
    <>
      <input aria-label="name" />
      <button type="button">press</button>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable */}
      <section aria-label="log" tabIndex={0} />
    </>
  );
}

test("a key runs its action; other keys are left to the browser", () => {
  const f = vi.fn();
  render(<Field actions={{ f }} />);
  expect(fireEvent.keyDown(window, { key: "f" })).toBe(false);
  expect(fireEvent.keyDown(window, { key: "x" })).toBe(true);
  expect(f).toHaveBeenCalledOnce();
});

test("typing in a field, modifiers and key repeat run nothing", () => {
  const f = vi.fn();
  render(<Field actions={{ f }} />);
  fireEvent.keyDown(screen.getByLabelText("name"), { key: "f" });
  fireEvent.keyDown(window, { key: "f", ctrlKey: true });
  fireEvent.keyDown(window, { key: "f", metaKey: true });
  fireEvent.keyDown(window, { key: "f", repeat: true });
  expect(f).not.toHaveBeenCalled();
});

test("a key that may be held runs again and again", () => {
  const comma = vi.fn();
  render(<Field actions={{ ",": comma }} />);
  for (const repeat of [false, true, true]) fireEvent.keyDown(window, { key: ",", repeat });
  expect(comma).toHaveBeenCalledTimes(3);
});

test("the space bar presses the button that has the focus", () => {
  const space = vi.fn();
  render(<Field actions={{ " ": space }} />);
  fireEvent.keyDown(screen.getByRole("button"), { key: " " });
  expect(space).not.toHaveBeenCalled();
  fireEvent.keyDown(window, { key: " " });
  expect(space).toHaveBeenCalledOnce();
});

test("arrows scroll what has the focus and can be scrolled", () => {
  const right = vi.fn();
  render(<Field actions={{ ArrowRight: right }} />);
  fireEvent.keyDown(screen.getByLabelText("log"), { key: "ArrowRight" });
  expect(right).not.toHaveBeenCalled();
  fireEvent.keyDown(window, { key: "ArrowRight" });
  expect(right).toHaveBeenCalledOnce();
});

test("behind a dialog only the key that closes it runs", () => {
  const actions = { f: vi.fn(), "?": vi.fn() };
  render(<Field actions={actions} />);
  render(<dialog open>help</dialog>);
  for (const key of ["f", "?"]) fireEvent.keyDown(window, { key });
  expect(actions.f).not.toHaveBeenCalled();
  expect(actions["?"]).toHaveBeenCalledOnce();
});

test("nothing runs after unmounting", () => {
  const f = vi.fn();
  render(<Field actions={{ f }} />);
  cleanup();
  fireEvent.keyDown(window, { key: "f" });
  expect(f).not.toHaveBeenCalled();
});
