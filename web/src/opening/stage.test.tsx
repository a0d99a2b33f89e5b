import { expect, test } from "vitest";
import { makeFleet, makeWorker } from "../testing/fixtures";
import { drawStage, removeStage } from "./stage";

const FLEET = makeFleet([makeWorker(0, { stream_state: "live" }), makeWorker(1)]);

test("the stage is beside as many tiles as the page will have", () => {
  const player = drawStage(FLEET, "/neural/broadcast", "omega-0");
  const broadcast = player?.closest<HTMLElement>(".broadcast");
  expect(player?.closest(".tile")?.getAttribute("aria-label")).toBe("omega-0");
  expect(broadcast?.dataset.rail).toBe("wide");
  expect(broadcast?.style.getPropertyValue("--rows")).toBe("2");
  expect(document.querySelector(".opening header")?.textContent).toContain(`run ${FLEET.run}`);
  removeStage();
  expect(document.querySelector(".opening")).toBeNull();
});

test("a page that begins with something else has none", () => {
  expect(drawStage(FLEET, "/wall", "omega-0")).toBeNull();
  expect(document.querySelector(".opening")).toBeNull();
});
