import { describe, expect, it } from "vitest";
import { frameOf, sharedAddresses } from "./share";

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

describe("frameOf", () => {
  it("is HTML, in which the address is escaped", () => {
    expect(frameOf("http://host/embed?worker=omega-0&key=1")).toBe(
      '<iframe src="http://host/embed?worker=omega-0&amp;key=1" width="640" height="360" ' +
        'style="border:0" allow="autoplay; fullscreen"></iframe>',
    );
  });
});
