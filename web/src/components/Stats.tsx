import type { ReactNode } from "react";

export interface Stat {
  name: string;
  value: ReactNode;
  /** Small print below the value. */
  note?: string | undefined;
}

/** Row of labelled values; `large` for headlines that are read from a distance. */
export function Stats({ stats, large = false }: { stats: Stat[]; large?: boolean }) {
  return (
    <dl className="stats" data-large={large}>
      {stats.map(({ name, value, note }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value}
            {note && <small>{note}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
