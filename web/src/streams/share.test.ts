import { describe, expect, it } from "vitest";
import { sharedAddresses } from "./share";

function addresses(worker: string | null): string[] {
  return sharedAddresses("http://host:5173/path", worker).map(({ address }) => address);
}

describe("sharedAddresses", () => {
  it("leads to the program", () => {
    expect(addresses(null)).toEqual([
      "http://host:5173/path/program.ts",
      "http://host:5173/path/neural/broadcast?clean=1",
      'ffplay -fflags nobuffer "http://host:5173/path/program.ts"',
      "http://host:5173/path/whep?worker=program",
    ]);
  });

  it("leads to a worker", () => {
    expect(addresses("omega-0")).toEqual([
      "http://host:5173/path/api/worker/omega-0/stream.ts",
      "http://host:5173/path/neural/broadcast?clean=1&pin=omega-0",
      'ffplay -fflags nobuffer "http://host:5173/path/api/worker/omega-0/stream.ts"',
      "http://host:5173/path/whep?worker=omega-0",
    ]);
  });
});
