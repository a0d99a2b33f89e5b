/** Entry of the page: plays the first stream, then draws everything else. */

import { BASE_PATH } from "./api/base-path";
import { OPENING } from "./api/opening";
import type { Opening } from "./api/schema";
import { firstStream } from "./opening/first-stream";
import { drawStage } from "./opening/stage";
import { openEarly, settled } from "./player/early-player";
import "./styles/index.css";

/** The rest of the page takes the browser's whole attention, so it waits for a frame so long. */
const FRAME_WITHIN_MS = 500;

const path = location.pathname.slice(BASE_PATH.length) || "/";
const query = new URLSearchParams(location.search);

/** Play the first stream; wait for its picture, if that has a place until the page is drawn. */
async function playFirst(opening: Opening): Promise<void> {
  const first = firstStream(opening, path, query, Date.now());
  if (!first) return;
  const player = openEarly(first.socket);
  const isShown = first.worker.stream_state === "live" && query.get("clean") !== "1";
  const stage = isShown ? drawStage(opening.fleet, path, first.worker.instance_id) : null;
  if (!stage) return;
  player.mount(stage);
  await settled(player, FRAME_WITHIN_MS);
}

async function open(): Promise<void> {
  if (OPENING) await playFirst(OPENING);
  void import("./root");
  if (path === "/stream") void import("./pages/StreamPage");
}

void open();
