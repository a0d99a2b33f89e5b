import { useCallback } from "react";
import { useSearchParams } from "react-router";

/**
 * A switch that is kept in the page's address: it outlives a cut to another worker and a reload, and
 * a scene in a recorder can be opened with it. The address names only what isn't as at first.
 */
export function useFlag(name: string, atFirst: boolean): [on: boolean, toggle: () => void] {
  const [query, setQuery] = useSearchParams();
  const said = query.get(name);
  const on = said === null ? atFirst : said === "1";

  const toggle = useCallback(
    () =>
      setQuery(
        (before) => {
          const after = new URLSearchParams(before);
          if (on === atFirst) after.set(name, on ? "0" : "1");
          else after.delete(name);
          return after;
        },
        { replace: true },
      ),
    [setQuery, name, on, atFirst],
  );
  return [on, toggle];
}
