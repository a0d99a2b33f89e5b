import { useEffect, useState } from "react";
import { snapshotAddress } from "./urls";

const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 5_000;

/**
 * An address of the worker's newest picture, renewed once a second while `wanted`; null at first.
 *
 * The last one stays when it is no longer renewed, as where the worker is lost, until there is
 * something `better` to see.
 */
export function useSnapshot(worker: string, wanted: boolean, better: boolean): string | null {
  const [picture, setPicture] = useState<string | null>(null);

  useEffect(() => {
    if (!wanted) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const renew = async () => {
      const began = performance.now();
      const fetched = await fetchPicture(worker, abort.signal);
      if (abort.signal.aborted) return;
      // A worker that restarts has none for a while: the last one stays.
      if (fetched) setPicture(URL.createObjectURL(fetched));
      timer = setTimeout(renew, Math.max(0, INTERVAL_MS - (performance.now() - began)));
    };
    void renew();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [worker, wanted]);

  useEffect(() => {
    if (better) setPicture(null);
  }, [better]);

  useEffect(() => {
    if (picture) return () => URL.revokeObjectURL(picture);
  }, [picture]);

  return picture;
}

async function fetchPicture(worker: string, signal: AbortSignal): Promise<Blob | null> {
  try {
    const response = await fetch(snapshotAddress(worker), {
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    return response.ok ? await response.blob() : null;
  } catch (error) {
    // No connection, or aborted; anything else is a fault of this page and belongs in its console.
    if (error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}
