/** Which actions of a policy are shown, and in what order. Pure. */

export interface ActionBar {
  index: number;
  name: string;
  probability: number;
  chosen: boolean;
}

/** More can't be read while they move. */
export const MOST = 6;

/** The most probable ones and the chosen one, in the policy's order, so that a bar keeps its place. */
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
    .slice(0, MOST)
    .sort((a, b) => a.index - b.index);
}
