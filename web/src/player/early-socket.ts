/** The first stream's connection, opened while the rest of the page is still being loaded. */

/** A connection with what it has received so far. */
export interface EarlySocket {
  socket: WebSocket;
  received: (string | ArrayBuffer)[];
}

/** A page that shows something else by then does not come for it. */
const UNCLAIMED_MS = 5_000;

let early: (EarlySocket & { url: string }) | null = null;

/** Return a URL of the page's own origin as one for a WebSocket. */
export function webSocketUrl(url: string): URL {
  return new URL(url, location.href.replace(/^http/, "ws"));
}

/** Open the stream at `url`, for whoever takes it within seconds. */
export function openEarly(url: string): void {
  const socket = new WebSocket(webSocketUrl(url));
  const received: (string | ArrayBuffer)[] = [];
  const opened = { url, socket, received };
  const drop = () => {
    if (early !== opened) return;
    early = null;
    socket.onclose = socket.onmessage = null;
    socket.close();
  };
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => received.push(data);
  socket.onclose = drop;
  early = opened;
  setTimeout(drop, UNCLAIMED_MS);
}

/** Take over the connection that was opened early, if it is that of `url`. */
export function takeEarly(url: string): EarlySocket | null {
  if (early?.url !== url) return null;
  const taken = early;
  early = null;
  return taken;
}
