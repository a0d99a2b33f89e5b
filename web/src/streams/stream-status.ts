/** What will happen with one worker's picture, in a sentence. Pure. */

import type { Featured, WorkerStatus } from "../api/schema";

/**
 * For a viewer who has opened the worker's own page, which asks for a session for it. Why there is
 * no picture now is said on the player.
 */
export function outlook(status: WorkerStatus, featured: Featured | undefined): string {
  const name = status.instance_id;
  const goesOn = status.mode === "train" ? "trains on" : "plays on";
  switch (status.stream_state) {
    case "live":
      return featured?.next
        ? `It stays live while this page is open; ${featured.next} waits for another session.`
        : "It stays live while this page is open.";
    case "starting":
      return "It has a session; its encoder is starting, and the picture comes with the first keyframe.";
    case "error":
      return `${sentence(status.stream_error ?? "its encoder failed")} It is tried again by itself.`;
    case "standby":
      break;
  }
  if (!status.stream_enabled)
    return `Streams are switched off for this fleet; it ${goesOn} unseen.`;
  if (featured?.next === name) {
    const when = featured.next_in_s === null ? "as soon as one is free" : soon(featured.next_in_s);
    return `Because you opened it, it gets the next session ${when}; it ${goesOn} until then.`;
  }
  return `This page has asked for a session for it. It ${goesOn}, faster than with a picture.`;
}

function soon(seconds: number): string {
  return seconds < 1 ? "in a moment" : `in about ${Math.ceil(seconds)} s`;
}

/** With a capital and a full stop: reasons are also parts of log lines. */
export function sentence(text: string): string {
  const closed = /[.!?]$/.test(text) ? text : `${text}.`;
  // A name keeps its small letter.
  if (!/^[a-z]+\s/.test(closed)) return closed;
  return closed.charAt(0).toUpperCase() + closed.slice(1);
}
