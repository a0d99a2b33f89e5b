import { useSearchParams } from "react-router";
import type { View } from "./charts";

const DEFAULT_SMOOTHING = 0.05;

/** Keep how curves are shown in the page's query string, and so in every link to it. */
export function useView(): [View, (changes: Partial<View>) => void] {
  const [query, setQuery] = useSearchParams();
  const smoothing = Number(query.get("smooth") ?? DEFAULT_SMOOTHING);
  const view: View = {
    overTime: query.get("x") === "time",
    logarithmic: query.get("log") === "1",
    band: query.get("band") !== "0",
    smoothing: Number.isFinite(smoothing)
      ? Math.min(0.5, Math.max(0, smoothing))
      : DEFAULT_SMOOTHING,
  };
  const change = (changes: Partial<View>) => {
    const next = { ...view, ...changes };
    setQuery(
      (params) => {
        const set = (name: string, value: string, isDefault: boolean) =>
          isDefault ? params.delete(name) : params.set(name, value);
        set("x", "time", !next.overTime);
        set("log", "1", !next.logarithmic);
        set("band", "0", next.band);
        set("smooth", String(next.smoothing), next.smoothing === DEFAULT_SMOOTHING);
        return params;
      },
      { replace: true },
    );
  };
  return [view, change];
}
