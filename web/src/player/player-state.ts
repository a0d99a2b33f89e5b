/**
 * What the player is doing and what it does next: a state machine without browser, socket or timer.
 *
 * The shell (live-player.ts) reports what happened, carries out the commands that come back, and
 * ticks a few times a second; every rule about time is decided here.
 */

import type { EpochMessage, StateMessage } from "../api/schema";

export type PlayerState = "live" | "waiting" | "standby" | "reconnecting" | "paused" | "error";

/** What a person is told: the state, and a sentence why. */
export interface PlayerView {
  state: PlayerState;
  reason: string;
}

export const CONNECTING: PlayerView = { state: "waiting", reason: "Connecting to the worker." };

const COMING = "The stream is live; its first picture is on the way.";
const FROZEN = "No new picture has come for a while.";

export type PlayerEvent =
  | { type: "watched"; watched: boolean }
  | { type: "opened" }
  | { type: "closed" }
  | { type: "moved" }
  | { type: "message"; message: StateMessage | EpochMessage }
  /** The picture comes by WebRTC, which needs no epochs. */
  | { type: "track" }
  /** The other transport takes over. */
  | { type: "switch" }
  | { type: "bytes"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "painted" }
  | { type: "autoplay"; allowed: boolean }
  | { type: "broken"; reason: string }
  | { type: "unsupported"; reason: string }
  | { type: "tick" };

export type Command =
  | { do: "connect" }
  | { do: "disconnect" }
  | { do: "rebuild"; epoch: EpochMessage }
  | { do: "append"; bytes: Uint8Array<ArrayBuffer> }
  | { do: "clear" };

/** Milliseconds. A restarted worker has to be back on screen within 5 s of its return. */
export const RETRY_FIRST = 250;
export const RETRY_LIMIT = 3_000;
/** A connection that lived this long was a good one: the next retry starts from the first delay. */
export const STABLE_AFTER = 5_000;
export const CONNECT_TIMEOUT = 5_000;
/** Without a new picture for this long a stream is not called live. */
export const FROZEN_AFTER = 1_500;
/** A live stream that stays without bytes or pictures this long gets a new connection. */
export const STUCK_AFTER = 10_000;

type Link = "off" | "connecting" | "open" | "lost";

export class PlayerMachine {
  /** Null until the page has told for the first time. */
  #watched: boolean | null = null;
  #link: Link = "off";
  #linkSince = 0;
  #failures = 0;
  #retryAt = 0;
  #lostBecause = "";
  #stream: StateMessage | null = null;
  /** Whether what is painted is of the stream that plays now. */
  #begun = false;
  #painting = false;
  /** Whether anything of it was painted. */
  #painted = false;
  #lastProgress = 0;
  #autoplay = true;
  #unsupported: string | null = null;

  /**
   * @param now milliseconds of a clock that never goes back
   * @param random in [0, 1), spreads the retries of many viewers
   */
  constructor(
    private readonly now: () => number,
    private readonly random: () => number,
  ) {}

  handle(event: PlayerEvent): Command[] {
    switch (event.type) {
      case "watched":
        return this.#setWatched(event.watched);
      case "opened":
        this.#setLink("open");
        return [];
      case "closed":
        return this.#lose("The connection was closed.");
      case "moved":
        return this.#move();
      case "message":
        return event.message.type === "epoch"
          ? this.#startEpoch(event.message)
          : this.#setStream(event.message);
      case "track":
        this.#stream = { type: "state", state: "live", reason: "It plays over WebRTC." };
        this.#begin();
        return [];
      case "switch":
        return this.#link === "off" ? [] : [...this.#leave(), ...this.#connect()];
      case "bytes":
        return this.#begun ? [{ do: "append", bytes: event.bytes }] : [];
      case "painted":
        if (this.#begun) {
          this.#painting = this.#painted = true;
          this.#lastProgress = this.now();
        }
        return [];
      case "autoplay":
        this.#autoplay = event.allowed;
        return [];
      case "broken":
        return this.#link === "off" ? [] : this.#lose(event.reason);
      case "unsupported":
        this.#unsupported = event.reason;
        return this.#leave();
      case "tick":
        return this.#tick();
    }
  }

  get view(): PlayerView {
    if (this.#unsupported) return { state: "error", reason: this.#unsupported };
    if (this.#watched === false)
      return { state: "paused", reason: "Out of sight, so nothing is downloaded." };
    if (this.#failures > 0 && !this.#stream)
      return { state: "reconnecting", reason: `${this.#lostBecause} Trying again by itself.` };
    if (!this.#stream) return CONNECTING;
    const { state, reason } = this.#stream;
    if (state === "standby" || state === "error") return { state, reason };
    if (!this.#autoplay)
      return { state: "paused", reason: "This browser starts video only when you ask for it." };
    if (state !== "live") return { state: "waiting", reason };
    if (this.#painting) return { state, reason };
    return { state: "waiting", reason: this.#painted ? FROZEN : COMING };
  }

  #setWatched(watched: boolean): Command[] {
    if (watched === this.#watched) return [];
    this.#watched = watched;
    if (!watched) return this.#leave();
    this.#failures = 0;
    return this.#connect();
  }

  /** The stream has a new address; the picture of the old one stays until the new one paints. */
  #move(): Command[] {
    if (this.#watched !== true || this.#link === "off") return [];
    this.#failures = 0;
    this.#forgetStream();
    return [{ do: "disconnect" }, ...this.#connect()];
  }

  #setStream(message: StateMessage): Command[] {
    this.#stream = message;
    this.#lastProgress = this.now();
    if (message.state === "live" || message.state === "starting") return [];
    return this.#endEpoch();
  }

  #startEpoch(epoch: EpochMessage): Command[] {
    this.#begin();
    return [{ do: "rebuild", epoch }];
  }

  #begin(): void {
    this.#begun = true;
    this.#painting = this.#painted = false;
    this.#lastProgress = this.now();
  }

  #endEpoch(): Command[] {
    this.#begun = false;
    this.#painting = false;
    return [{ do: "clear" }];
  }

  #connect(): Command[] {
    if (this.#unsupported) return [];
    this.#setLink("connecting");
    return [{ do: "connect" }];
  }

  /** The last picture stays on screen: neither leaving nor losing clears the media. */
  #leave(): Command[] {
    this.#forgetStream();
    this.#setLink("off");
    return [{ do: "disconnect" }];
  }

  #lose(because: string): Command[] {
    if (this.#link === "off" || this.#link === "lost") return [];
    const stable = this.#link === "open" && this.#inLinkFor() >= STABLE_AFTER;
    this.#failures = stable ? 1 : this.#failures + 1;
    const delay = Math.min(RETRY_LIMIT, RETRY_FIRST * 2 ** (this.#failures - 1));
    this.#retryAt = this.now() + delay * (0.75 + 0.25 * this.random());
    this.#lostBecause = because;
    this.#forgetStream();
    this.#setLink("lost");
    return [{ do: "disconnect" }];
  }

  #forgetStream(): void {
    this.#stream = null;
    this.#begun = false;
    this.#painting = false;
  }

  #setLink(link: Link): void {
    this.#link = link;
    this.#linkSince = this.now();
  }

  #inLinkFor(): number {
    return this.now() - this.#linkSince;
  }

  #tick(): Command[] {
    if (this.#link === "lost" && this.now() >= this.#retryAt) return this.#connect();
    if (this.#link === "connecting" && this.#inLinkFor() >= CONNECT_TIMEOUT)
      return this.#lose("The worker did not answer.");
    if (this.#link !== "open") return [];
    if (!this.#stream)
      return this.#inLinkFor() >= CONNECT_TIMEOUT ? this.#lose("The worker said nothing.") : [];
    if (this.#stream.state !== "live" || !this.#autoplay) return [];
    const idle = this.now() - this.#lastProgress;
    if (idle >= FROZEN_AFTER) this.#painting = false;
    return idle >= STUCK_AFTER ? this.#lose("No picture has arrived for a while.") : [];
  }
}
