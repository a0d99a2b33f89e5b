import { useCallback } from "react";
import { useSearchParams } from "react-router";

/**
 * Keep a boolean in the page's query string, where it survives a cut to another worker and a
 * reload, and can be part of a bookmark or an OBS scene. The default value is left out.
 */
export function useQueryFlag(
  name: string,
  defaultValue: boolean,
): [on: boolean, toggle: () => void] {
  const [query, setQuery] = useSearchParams();
  const param = query.get(name);
  const on = param === null ? defaultValue : param === "1";

  const toggle = useCallback(
    () =>
      setQuery(
        (previous) => {
          const next = new URLSearchParams(previous);
          if (on === defaultValue) next.set(name, on ? "0" : "1");
          else next.delete(name);
          return next;
        },
        { replace: true },
      ),
    [setQuery, name, on, defaultValue],
  );
  return [on, toggle];
}
