/** Addresses under which a stream is watched elsewhere. */

export interface Shared {
  /** Where it is put. */
  name: string;
  address: string;
}

/**
 * Return the addresses of a worker's stream, or of the program that follows the director.
 *
 * @param base of the page, with its path and without a final slash
 * @param worker null: the program
 */
export function sharedAddresses(base: string, worker: string | null): Shared[] {
  const id = encodeURIComponent(worker ?? "program");
  const file = worker ? `${base}/api/worker/${id}/stream.ts` : `${base}/program.ts`;
  const pin = worker ? `&pin=${id}` : "";
  return [
    { name: "OBS, media source; VLC; mpv", address: file },
    { name: "OBS, browser source", address: `${base}/neural/broadcast?clean=1${pin}` },
    { name: "ffplay", address: `ffplay -fflags nobuffer "${file}"` },
    { name: "WHEP", address: `${base}/whep?worker=${id}` },
  ];
}

/** Return the HTML that shows a tile in another page. */
export function frameOf(address: string): string {
  const url = address.replaceAll("&", "&amp;");
  const size = 'width="640" height="360" style="border:0"';
  return `<iframe src="${url}" ${size} allow="autoplay; fullscreen"></iframe>`;
}
