/** Entry of a tile that a page elsewhere embeds: one stream, and nothing of the fleet. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Player } from "./player/Player";
import { tileSocketUrl } from "./streams/urls";
import "./styles/embed.css";

const root = document.getElementById("tile");
if (!root) throw new Error("embed.html has no #tile");

const query = new URLSearchParams(location.search);
const name = query.get("worker") ?? "program";
document.title = `${name} · MetaBonk`;

createRoot(root).render(
  <StrictMode>
    <Player worker={name} audience="broadcast" socket={tileSocketUrl(name, query.get("key"))} />
  </StrictMode>,
);
