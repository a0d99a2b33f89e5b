import { useEffect, useState } from "react";
import { snapshotUrl } from "./urls";

const INTERVAL_MS = 1_000;
const TIMEOUT_MS = 5_000;

/**
 * Return an object URL of the worker's newest snapshot, refreshed once a second while `enabled`;
 * null until the first one.
 *
 * The last snapshot stays after a lost connection or when `enabled` ends, until `superseded` by
 * live video.
 */
export function useSnapshot(worker: string, enabled: boolean, superseded: boolean): string | null {
  const [snapshot, setSnapshot] = useState<string | null>(null);

  useEffect(() => {
    if (!enabled) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const refresh = async () => {
      const startedAt = performance.now();
      const blob = await fetchSnapshot(worker, abort.signal);
      if (abort.signal.aborted) return;
      // A restarting worker has none for a while; the last one stays.
      if (blob) setSnapshot(URL.createObjectURL(blob));
      timer = setTimeout(refresh, Math.max(0, INTERVAL_MS - (performance.now() - startedAt)));
    };
    void refresh();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [worker, enabled]);

  useEffect(() => {
    if (superseded) setSnapshot(null);
  }, [superseded]);

  useEffect(() => {
    if (snapshot) return () => URL.revokeObjectURL(snapshot);
  }, [snapshot]);

  return snapshot;
}

async function fetchSnapshot(worker: string, signal: AbortSignal): Promise<Blob | null> {
  try {
    const response = await fetch(snapshotUrl(worker), {
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    return response.ok ? await response.blob() : null;
  } catch (error) {
    // No connection, or aborted; anything else is a bug and belongs in the console.
    if (error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}
