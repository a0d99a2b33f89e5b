/** The little of MP4 that a replay which is still being drawn needs (ISO/IEC 14496-12, -15). */

const AVCC = [..."avcC"].map((letter) => letter.charCodeAt(0));
/** The configuration record begins with its version; these three bytes follow (RFC 6381). */
const PROFILE = AVCC.length + 1;
const HEADER = 8;
const EMPTY = new Uint8Array(0);

/**
 * Return the MIME type of a fragmented MP4 with H.264 video, as Media Source Extensions want it;
 * null until its decoder configuration has arrived.
 */
export function mimeOf(bytes: Uint8Array): string | null {
  const at = bytes.findIndex((_, i) => AVCC.every((code, j) => bytes[i + j] === code));
  if (at < 0 || at + PROFILE + 3 > bytes.length) return null;
  const profile = [...bytes.subarray(at + PROFILE, at + PROFILE + 3)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return `video/mp4; codecs="avc1.${profile}"`;
}

/**
 * Passes on an init segment and its fragments. Behind them, a file that has become whole has the
 * index of an ordinary MP4, which Media Source Extensions reject.
 */
export class FragmentReader {
  /** The beginning of a box header. */
  #pending: Uint8Array<ArrayBuffer> = EMPTY;
  /** Bytes to come of the current box. */
  #left = 0;
  #initialized = false;
  #ended = false;

  /** Return the next bytes to be appended, perhaps none. */
  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const all = concatenate(this.#pending, bytes);
    let at = Math.min(this.#left, all.length);
    this.#left -= at;
    while (!this.#ended && at + HEADER <= all.length) {
      const size = this.#sizeOfBox(all.subarray(at, at + HEADER));
      const end = Math.min(at + size, all.length);
      this.#left = at + size - end;
      at = end;
    }
    this.#pending = this.#ended ? EMPTY : all.slice(at);
    return all.subarray(0, at);
  }

  /** Return the size of a box that is part of the fragments; 0 ends them. */
  #sizeOfBox(header: Uint8Array): number {
    const size = new DataView(header.buffer, header.byteOffset).getUint32(0);
    const isMovie = String.fromCharCode(...header.subarray(4)) === "moov";
    this.#ended = size < HEADER || (isMovie && this.#initialized);
    this.#initialized ||= isMovie;
    return this.#ended ? 0 : size;
  }
}

function concatenate(
  head: Uint8Array<ArrayBuffer>,
  tail: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (head.length === 0) return tail;
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
