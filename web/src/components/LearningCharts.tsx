import { useMemo } from "react";
import {
  linesOf,
  pointsOf,
  type RunRecord,
  recordedCurves,
  toCsv,
  type View,
} from "../learning/charts";
import { RETURN, shownCurves, termOf } from "../learning/terms";
import { useView } from "../learning/use-view";
import { formatNumber, formatPercent } from "./format";
import { useWatch } from "./LearningCurve";
import { Plot } from "./Plot";

/** Records of the runs that play one game: their returns compare. */
export interface GameRecords {
  game: string;
  records: readonly RunRecord[];
}

/** Charts of everything that the runs have recorded, with how they are shown. */
export function LearningCharts({ games }: { games: readonly GameRecords[] }) {
  const [view, setView] = useView();
  const all = games.flatMap(({ records }) => records);
  const names = shownCurves(recordedCurves(all));
  if (names.length === 0)
    return <p className="empty">The selected runs have recorded nothing yet.</p>;
  return (
    <>
      <Controls
        view={view}
        onChange={setView}
        onExport={() => download(toCsv(all, names), "metabonk-runs.csv")}
      />
      {games.map(({ game, records }) => (
        <section key={game} className="game-charts" aria-label={`Curves of ${game}`}>
          {games.length > 1 && <h3>{game}</h3>}
          <div className="charts">
            {shownCurves(recordedCurves(records)).map((name) => (
              <Chart key={name} name={name} records={records} view={view} />
            ))}
          </div>
        </section>
      ))}
    </>
  );
}

interface ControlsProps {
  view: View;
  onChange: (changes: Partial<View>) => void;
  onExport: () => void;
}

function Controls({ view, onChange, onExport }: ControlsProps) {
  return (
    <div className="chart-controls" role="toolbar" aria-label="How curves are shown">
      <label>
        Over
        <select
          className="field"
          value={view.overTime ? "time" : "steps"}
          onChange={({ target }) => onChange({ overTime: target.value === "time" })}
        >
          <option value="steps">steps</option>
          <option value="time">time</option>
        </select>
      </label>
      <label>
        Smoothing
        <input
          type="range"
          min="0"
          max="0.3"
          step="0.01"
          value={view.smoothing}
          onChange={({ target }) => onChange({ smoothing: Number(target.value) })}
        />
        <span className="smoothing">{formatPercent(view.smoothing)}</span>
      </label>
      <label>
        <input
          type="checkbox"
          checked={view.band}
          onChange={({ target }) => onChange({ band: target.checked })}
        />
        Band
      </label>
      <label>
        <input
          type="checkbox"
          checked={view.logarithmic}
          onChange={({ target }) => onChange({ logarithmic: target.checked })}
        />
        Log scale
      </label>
      <button type="button" className="button" onClick={onExport}>
        Save as CSV
      </button>
    </div>
  );
}

interface ChartProps {
  name: string;
  records: readonly RunRecord[];
  view: View;
}

function Chart({ name, records, view }: ChartProps) {
  const watch = useWatch();
  const { overTime, logarithmic, band, smoothing } = view;
  const lines = useMemo(
    () => linesOf(records, name, { overTime, logarithmic, band, smoothing }),
    [records, name, overTime, logarithmic, band, smoothing],
  );
  const term = termOf(name);
  const picks = name === RETURN && !overTime;
  return (
    <figure className="chart" data-wide={name === RETURN}>
      <figcaption>
        <h3>{term.name}</h3>
        <p className="detail">
          {term.explanation}
          {picks && " Click the curve to watch an episode from then."}
        </p>
      </figcaption>
      <Plot
        series={lines}
        label={describe(term.name, name, records)}
        overTime={overTime}
        logarithmic={logarithmic}
        {...(picks && {
          onPick: (line: number, step: number) => watch(lines[line]?.name ?? null, step, null),
        })}
      />
    </figure>
  );
}

function describe(title: string, name: string, records: readonly RunRecord[]): string {
  const parts = records.flatMap((record) => {
    const { ys } = pointsOf(record, name, false);
    return ys.length > 0
      ? [`${record.run} from ${formatNumber(ys[0])} to ${formatNumber(ys.at(-1))}`]
      : [];
  });
  return `${title}: ${parts.join("; ")}.`;
}

function download(text: string, file: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = file;
  link.click();
  // Once the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
