/** HTTP requests to the orchestrator. */

import { API } from "./base-path";
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
 * @param timeoutMs until which an answer is waited for
 * @throws NetworkError without a response, ApiError for an error status
 */
export async function getJson<Body>(
  url: string,
  signal: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<Body> {
  let response: Response;
  try {
    response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new NetworkError(`${url}: no response`);
  }
  if (response.ok) return (await response.json()) as Body;
  throw new ApiError(response.status, await errorMessage(response));
}

/**
 * Change something on the server.
 *
 * @param body sent as JSON; nothing if it is left out
 * @throws ApiError for an error status
 */
export async function send(method: "PUT" | "DELETE", url: string, body?: object): Promise<null> {
  const response = await fetch(url, {
    method,
    ...(body && {
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  if (!response.ok) throw new ApiError(response.status, await errorMessage(response));
  return null;
}

/**
 * Ask whether this page may open streams. Browsers name the page's origin with such a request, but
 * not with those that only read; a proxy that passes on another host makes the server refuse it.
 *
 * @throws ApiError where the server takes this page for a foreign one
 */
export async function checkOrigin(): Promise<null> {
  const response = await fetch(`${API}/fleet`, { method: "OPTIONS" });
  if (response.status === 403) throw new ApiError(403, await errorMessage(response));
  return null;
}

/** Return the explanation in the body of an error response. */
export async function errorMessage(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  if (!response.headers.get("content-type")?.includes("json")) return fallback;
  const body = (await response.json()) as Partial<ErrorBody>;
  return body.message ?? fallback;
}
