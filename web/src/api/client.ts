/** Questions to the orchestrator, and what can go wrong with them. */

import type { ErrorBody } from "./schema";

/** Nobody answered: the process is gone, or the network to it. */
export class Unreachable extends Error {}

/** An answer that says no; `message` is the sentence it came with. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 5_000;

export async function getJson<Answer>(address: string, signal: AbortSignal): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(address, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Unreachable(`${address} did not answer`);
  }
  if (response.ok) return (await response.json()) as Answer;
  throw new Refused(response.status, await reasonOf(response));
}

async function reasonOf(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  if (!response.headers.get("content-type")?.includes("json")) return fallback;
  const body = (await response.json()) as Partial<ErrorBody>;
  return body.message ?? fallback;
}
