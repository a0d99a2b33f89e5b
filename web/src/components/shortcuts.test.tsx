import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { useKeys } from "./shortcuts";

afterEach(cleanup);

function Keyed({ actions }: { actions: Record<string, () => void> }) {
  useKeys(actions);
  return <input aria-label="name" />;
}

test("a key runs its action, and a key without one is left to the browser", () => {
  const f = vi.fn();
  render(<Keyed actions={{ f }} />);
  expect(fireEvent.keyDown(window, { key: "f" })).toBe(false);
  expect(fireEvent.keyDown(window, { key: "x" })).toBe(true);
  expect(f).toHaveBeenCalledOnce();
});

test("typing in a field and the browser's own shortcuts are no keys of the page", () => {
  const f = vi.fn();
  render(<Keyed actions={{ f }} />);
  fireEvent.keyDown(screen.getByLabelText("name"), { key: "f" });
  fireEvent.keyDown(window, { key: "f", ctrlKey: true });
  fireEvent.keyDown(window, { key: "f", metaKey: true });
  fireEvent.keyDown(window, { key: "f", repeat: true });
  expect(f).not.toHaveBeenCalled();
});

test("nothing runs after the page was left", () => {
  const f = vi.fn();
  render(<Keyed actions={{ f }} />);
  cleanup();
  fireEvent.keyDown(window, { key: "f" });
  expect(f).not.toHaveBeenCalled();
});
