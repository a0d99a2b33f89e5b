import { useMemo, useState } from "react";
import { useRunSettings } from "../api/queries";
import { type Column, DataTable } from "./DataTable";
import { MISSING } from "./format";

interface Setting {
  name: string;
  /** In the order of the runs; undefined where an earlier version had no such setting. */
  values: (string | undefined)[];
}

/** Settings of the selected runs side by side; at first those in which they differ. */
export function RunSettings({ runs }: { runs: readonly string[] }) {
  const settings = useRunSettings(runs);
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const compares = runs.length > 1;
  const columns = useMemo<Column<Setting>[]>(
    () => [
      { name: "Setting", value: ({ name }) => name, cell: ({ name }) => <code>{name}</code> },
      ...runs.map((run, i) => ({
        name: run,
        value: ({ values }: Setting) => values[i] ?? null,
        cell: ({ values }: Setting) => values[i] || MISSING,
      })),
    ],
    [runs],
  );
  const rows = useMemo(() => {
    const names = [...new Set(settings.flatMap((each) => Object.keys(each ?? {})))].sort();
    const all = names.map((name) => ({ name, values: settings.map((each) => each?.[name]) }));
    if (!compares || !onlyDifferent) return all;
    return all.filter(({ values }) => new Set(values).size > 1);
  }, [settings, compares, onlyDifferent]);
  return (
    <section className="card" aria-labelledby="run-settings">
      <h2 id="run-settings">Settings</h2>
      {compares && (
        <label className="choice">
          <input
            type="checkbox"
            checked={onlyDifferent}
            onChange={({ target }) => setOnlyDifferent(target.checked)}
          />
          Only those in which the runs differ
        </label>
      )}
      {settings.some((each) => each === null) ? (
        <p className="empty">Loading the settings…</p>
      ) : rows.length === 0 ? (
        <p className="empty">The selected runs have the same settings.</p>
      ) : (
        <DataTable
          caption="Settings of the selected runs"
          columns={columns}
          rows={rows}
          rowKey={({ name }) => name}
          text={({ name, values }) => `${name} ${values.join(" ")}`}
        />
      )}
    </section>
  );
}
