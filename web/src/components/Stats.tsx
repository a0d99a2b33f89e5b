import type { ReactNode } from "react";

export interface Figure {
  name: string;
  value: ReactNode;
  /** Said in small print under the value. */
  note?: string | undefined;
}

/** A row of figures with their names; large ones for the few that are read from afar. */
export function Figures({ figures, large = false }: { figures: Figure[]; large?: boolean }) {
  return (
    <dl className="figures" data-large={large}>
      {figures.map(({ name, value, note }) => (
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
