import { describe, expect, it } from "vitest";
import { overlayParts } from "./overlay";

describe("overlayParts", () => {
  it("keeps to the address", () => {
    expect(overlayParts(new URLSearchParams("overlay=curve,actions"))).toEqual([
      "actions",
      "curve",
    ]);
    expect(overlayParts(new URLSearchParams("overlay="))).toEqual([]);
  });

  it("ignores what there is not", () => {
    expect(overlayParts(new URLSearchParams("overlay=return,score"))).toEqual(["return"]);
  });

  it("leaves it to others where the address says nothing", () => {
    expect(overlayParts(new URLSearchParams("clean=1"))).toBeNull();
  });
});
