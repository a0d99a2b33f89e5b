/** The path under which a proxy serves the page. */

/**
 * Return the path that precedes every route, without a final slash.
 *
 * @param declared by the server, which can't know whether the page was opened through the proxy
 * @param pathname of the page
 */
export function basePath(declared: string, pathname: string): string {
  return `${pathname}/`.startsWith(`${declared}/`) ? declared : "";
}

function declaredPath(): string {
  return document.querySelector<HTMLMetaElement>("meta[name=base-path]")?.content ?? "";
}

export const BASE_PATH =
  typeof document === "undefined" ? "" : basePath(declaredPath(), location.pathname);

/** URL of the API. */
export const API = `${BASE_PATH}/api`;
