import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { useShortcuts } from "./shortcuts";

afterEach(cleanup);

function Field({ actions }: { actions: Record<string, () => void> }) {
  useShortcuts(actions);
  return <input aria-label="name" />;
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

test("nothing runs after unmounting", () => {
  const f = vi.fn();
  render(<Field actions={{ f }} />);
  cleanup();
  fireEvent.keyDown(window, { key: "f" });
  expect(f).not.toHaveBeenCalled();
});
