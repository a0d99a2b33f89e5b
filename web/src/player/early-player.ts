/** The first stream's player, at work while the rest of the page is still being loaded. */

import { LivePlayer } from "./live-player";

/** A page that shows something else by then does not come for it. */
const UNCLAIMED_MS = 5_000;

let early: { socket: string; player: LivePlayer } | null = null;

/** Play the stream whose WebSocket is at `socket`, for whoever takes it within seconds. */
export function openEarly(socket: string): LivePlayer {
  const opened = { socket, player: new LivePlayer({ socket, whep: null, hasVideo: true }) };
  opened.player.setVisible(!document.hidden);
  early = opened;
  setTimeout(() => {
    if (early !== opened) return;
    early = null;
    opened.player.close();
  }, UNCLAIMED_MS);
  return opened.player;
}

/** Wait until a player has a picture, or says why it has none, but no longer than `withinMs`. */
export function settled(player: LivePlayer, withinMs: number): Promise<void> {
  if (player.status.state !== "waiting") return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      unsubscribe();
      resolve();
    };
    const timer = setTimeout(finish, withinMs);
    const unsubscribe = player.subscribe(() => {
      if (player.status.state !== "waiting") finish();
    });
  });
}

/** Take over the player that was opened early, if it is that of `socket`. */
export function takeEarly(socket: string): LivePlayer | null {
  if (early?.socket !== socket) return null;
  const { player } = early;
  early = null;
  return player;
}
