import { describe, expect, test } from "vitest";
import { FragmentReader, mimeOf } from "./fragmented-mp4";

const bytes = (...parts: (string | number)[]) =>
  Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "number" ? [part] : [...part].map((letter) => letter.charCodeAt(0)),
    ),
  );

test("the codec is read from the decoder configuration", () => {
  expect(mimeOf(bytes("moov", 0, "avc1", 7, "avcC", 1, 0x64, 0x00, 0x1f, 9))).toBe(
    'video/mp4; codecs="avc1.64001f"',
  );
});

test("it is not known before the configuration is whole", () => {
  expect(mimeOf(bytes("ftypmoov"))).toBeNull();
  expect(mimeOf(bytes("avcC", 1, 0x64, 0x00))).toBeNull();
});

describe("fragments", () => {
  const box = (type: string, ...content: number[]) =>
    bytes(0, 0, 0, 8 + content.length, type, ...content);
  const fragments = [box("ftyp", 1), box("moov", 2, 3), box("moof"), box("mdat", 4, 5, 6, 7)];
  const index = box("moov", 9, 9, 9, 9, 9, 9, 9, 9, 9, 9);
  const join = (parts: readonly Uint8Array[]) => parts.flatMap((part) => [...part]);

  test.each([1, 3, 8, 11, 1_000])("pass in pieces of %d bytes, the index does not", (size) => {
    const file = Uint8Array.from(join([...fragments, index]));
    const reader = new FragmentReader();
    const passed: Uint8Array[] = [];
    for (let at = 0; at < file.length; at += size)
      passed.push(reader.push(file.slice(at, at + size)));
    expect(join(passed)).toEqual(join(fragments));
  });

  test("end where the bytes are no boxes", () => {
    const reader = new FragmentReader();
    expect([...reader.push(bytes(0, 0, 0, 0, "moof", 1))]).toEqual([]);
    expect([...reader.push(box("moof"))]).toEqual([]);
  });
});
