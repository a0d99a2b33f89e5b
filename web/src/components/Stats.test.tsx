// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { RETURNS } from "../learning/terms";
import { Stats } from "./Stats";

afterEach(cleanup);

test("a name that could mean several things explains itself", () => {
  render(
    <Stats
      stats={[
        { name: "Last return", value: "93.0", explanation: RETURNS.last },
        { name: "Episode", value: "12" },
      ]}
    />,
  );
  expect(screen.getByTitle(/last finished episode/).textContent).toBe("Last return");
  expect(screen.getByText("Episode").tagName).toBe("DT");
});
