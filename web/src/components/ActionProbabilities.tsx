import type { ShownThought } from "../player/policy-track";
import { formatPercent } from "./format";

interface ActionProbabilitiesProps {
  names: readonly string[];
  thought: ShownThought;
}

/** Bar for the probability of each action; renders nothing for continuous action spaces. */
export function ActionProbabilities({ names, thought }: ActionProbabilitiesProps) {
  const bars = actionBars(names, thought.probabilities, thought.action);
  if (bars.length === 0) return null;
  return (
    <ol className="actions" aria-label="Action probabilities">
      {bars.map(({ index, name, probability, chosen }) => (
        <li key={index} data-chosen={chosen}>
          <span className="action-name">
            {name}
            {chosen && <span className="visually-hidden"> (chosen)</span>}
          </span>
          <span className="action-bar">
            <span style={{ transform: `scaleX(${probability})` }} />
          </span>
          <span className="action-probability">{formatPercent(probability)}</span>
        </li>
      ))}
    </ol>
  );
}

export interface ActionBar {
  index: number;
  name: string;
  probability: number;
  chosen: boolean;
}

/** More changing bars than this are unreadable. */
export const MAX_BARS = 6;

/** Return the chosen and the most probable actions, in the policy's order so that bars stay put. */
export function actionBars(
  names: readonly string[],
  probabilities: readonly number[],
  chosen: number | null,
): ActionBar[] {
  const bars = probabilities.map((probability, index) => ({
    index,
    name: names[index] ?? `action ${index}`,
    probability,
    chosen: index === chosen,
  }));
  return bars
    .toSorted((a, b) => Number(b.chosen) - Number(a.chosen) || b.probability - a.probability)
    .slice(0, MAX_BARS)
    .sort((a, b) => a.index - b.index);
}
