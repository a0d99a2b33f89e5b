import { expect, test } from "vitest";
import { basePath } from "./base-path";

test.each([
  ["", "/", ""],
  ["", "/neural/broadcast", ""],
  ["/metabonk", "/metabonk", "/metabonk"],
  ["/metabonk", "/metabonk/", "/metabonk"],
  ["/metabonk", "/metabonk/neural/broadcast", "/metabonk"],
  ["/metabonk", "/neural/broadcast", ""],
  ["/metabonk", "/metabonk2/", ""],
])("declared %j, opened at %j: %j", (declared, pathname, expected) => {
  expect(basePath(declared, pathname)).toBe(expected);
});
