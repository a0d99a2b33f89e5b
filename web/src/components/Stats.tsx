import type { ReactNode } from "react";
import { Explained } from "./Explained";

export interface Stat {
  name: string;
  value: ReactNode;
  /** Small print below the value. */
  note?: string | undefined;
  /** What the name means, in a sentence. */
  explanation?: string;
}

/** Row of labelled values; `large` for headlines that are read from a distance. */
export function Stats({ stats, large = false }: { stats: Stat[]; large?: boolean }) {
  return (
    <dl className="stats" data-large={large}>
      {stats.map(({ name, value, note, explanation }) => (
        <div key={name}>
          <dt>
            <Explained explanation={explanation ?? null}>{name}</Explained>
          </dt>
          <dd>
            {value}
            {note && <small>{note}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
