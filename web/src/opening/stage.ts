/** The place of the first picture until the page is drawn: where the page will have it, too. */

import type { Fleet } from "../api/schema";
import { describeRun, pagesOf } from "../site";
import { type Arrangement, rail, tilesBeside } from "../streams/arrangement";

/** Pages that begin with the broadcast's stage. */
const ARRANGEMENTS: ReadonlyMap<string, Arrangement> = new Map([
  ["/", "home"],
  ["/neural/broadcast", "broadcast"],
]);

let drawn: Element | null = null;

/**
 * Draw the header and an empty stage; return the stage's player, null where a page has none.
 *
 * @param path of the page, below the one that a proxy adds
 * @param worker that will be on it
 */
export function drawStage(fleet: Fleet, path: string, worker: string): Element | null {
  const arrangement = ARRANGEMENTS.get(path);
  if (!arrangement) return null;
  const player = element("section", "player");
  const view = element("div", "stream-view", player);
  view.dataset.large = "true";
  const tile = element("article", "tile", view);
  tile.dataset.place = "stage";
  tile.setAttribute("aria-label", worker);
  const broadcast = element("div", "broadcast", tile);
  const beside = tilesBeside(Object.keys(fleet.workers).length - 1, arrangement);
  broadcast.dataset.rail = rail(beside, arrangement);
  broadcast.style.setProperty("--rows", `${beside + 1}`);
  const stage = element("div", "opening", header(fleet), element("main", "", broadcast));
  // It is gone within a moment, and what it says is said again.
  stage.inert = true;
  document.body.append(stage);
  drawn = stage;
  return player;
}

/** Remove what was drawn, once the page has taken its place. */
export function removeStage(): void {
  drawn?.remove();
  drawn = null;
}

function header(fleet: Fleet): HTMLElement {
  const links = pagesOf(fleet).map(({ name }) => element("a", "", name));
  const run = describeRun(fleet);
  const about = run
    ? [element("p", "run", element("span", "", run[0]), run[1], element("span", "", run[2]))]
    : [];
  return element(
    "header",
    "site-header",
    element("a", "wordmark", "MetaBonk"),
    element("nav", "", ...links),
    ...about,
    element("span", "button shortcuts-button", element("kbd", "", "?")),
  );
}

function element(name: string, className: string, ...children: (Node | string)[]): HTMLElement {
  const created = document.createElement(name);
  if (className) created.className = className;
  created.append(...children);
  return created;
}
