/** Entry of the page: asks for video first, and loads everything else meanwhile. */

import { BASE_PATH } from "./api/base-path";
import { OPENING } from "./api/opening";
import { openEarly } from "./player/early-socket";
import { firstStream } from "./streams/first-stream";
import "./styles/index.css";

const path = location.pathname.slice(BASE_PATH.length) || "/";
if (OPENING) {
  const url = firstStream(OPENING, path, new URLSearchParams(location.search), Date.now());
  if (url) openEarly(url);
}
void import("./root");
if (path === "/stream") void import("./pages/StreamPage");
