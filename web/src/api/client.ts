/** HTTP requests to the orchestrator. */

import type { ErrorBody } from "./schema";

/** No response: the orchestrator is down or cannot be reached. */
export class NetworkError extends Error {}

/** Response with an error status; `message` is the explanation from its body. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 5_000;

/**
 * Fetch a JSON resource.
 *
 * @throws NetworkError without a response, ApiError for an error status
 */
export async function getJson<Body>(url: string, signal: AbortSignal): Promise<Body> {
  let response: Response;
  try {
    response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new NetworkError(`${url}: no response`);
  }
  if (response.ok) return (await response.json()) as Body;
  throw new ApiError(response.status, await errorMessage(response));
}

async function errorMessage(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  if (!response.headers.get("content-type")?.includes("json")) return fallback;
  const body = (await response.json()) as Partial<ErrorBody>;
  return body.message ?? fallback;
}
