/**
 * State machine of the player, free of browser APIs, sockets and timers.
 *
 * The shell (live-player.ts) reports events, executes the returned commands and ticks a few times
 * a second; every timeout is decided here.
 */

import type { EpochMessage, StateMessage } from "../api/schema";

export type PlayerState =
  | "live"
  /** The worker has not answered yet. */
  | "starting"
  | "waiting"
  | "standby"
  | "reconnecting"
  | "paused"
  | "error";

/** State shown to the viewer, with the reason for it. */
export interface PlayerStatus {
  state: PlayerState;
  reason: string;
}

export const CONNECTING: PlayerStatus = { state: "waiting", reason: "Connecting to the worker." };

const STARTING: PlayerStatus = {
  state: "starting",
  reason: "Waiting for the worker to answer; it takes a few seconds to start.",
};

const FIRST_FRAME_PENDING = "The stream is live; waiting for its first frame.";
const FROZEN = "The video has stopped; waiting for a new frame.";

export type PlayerEvent =
  | { type: "visibility"; visible: boolean }
  | { type: "opened" }
  | { type: "closed" }
  /** The stream has a new URL. */
  | { type: "url-changed" }
  | { type: "message"; message: StateMessage | EpochMessage }
  /** Video arrives as a WebRTC track, which has no epochs. */
  | { type: "track" }
  /** Continue over the other transport. */
  | { type: "transport-changed" }
  | { type: "bytes"; bytes: Uint8Array<ArrayBuffer> }
  /** A video frame was painted. */
  | { type: "frame" }
  | { type: "autoplay"; allowed: boolean }
  | { type: "media-error"; reason: string }
  | { type: "unsupported"; reason: string }
  | { type: "tick" };

export type Command =
  | { type: "connect" }
  | { type: "disconnect" }
  /** Attach a new media source for this epoch. */
  | { type: "start-epoch"; epoch: EpochMessage }
  | { type: "append"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "clear" };

/** First retry delay. A restarted worker must be back on screen within 5 s of its return. */
export const RETRY_MIN_MS = 250;
export const RETRY_MAX_MS = 3_000;
/** A connection that lasted this long resets the retry delay. */
export const STABLE_AFTER_MS = 5_000;
export const CONNECT_TIMEOUT_MS = 5_000;
/** A stream without a new frame for this long is no longer shown as live. */
export const FROZEN_AFTER_MS = 1_500;
/** A live stream without a new frame for this long is reconnected. */
export const RECONNECT_AFTER_MS = 10_000;

type Connection = "off" | "connecting" | "open" | "lost";

export class PlayerStateMachine {
  /** Null until the page reports it for the first time. */
  #visible: boolean | null = null;
  #connection: Connection = "off";
  #connectionChangedAt = 0;
  #failures = 0;
  #retryAt = 0;
  #lossReason = "";
  #wasConnected = false;
  #stream: StateMessage | null = null;
  /** True from the start of an epoch or track to its end: painted frames belong to it. */
  #playing = false;
  #frameShown = false;
  /** True while frames keep coming. */
  #advancing = false;
  #lastProgressAt = 0;
  #autoplayAllowed = true;
  #unsupported: string | null = null;

  /**
   * @param now monotonic clock, milliseconds
   * @param random in [0, 1), spreads the retries of many viewers
   */
  constructor(
    private readonly now: () => number,
    private readonly random: () => number,
  ) {}

  handle(event: PlayerEvent): Command[] {
    switch (event.type) {
      case "visibility":
        return this.#setVisible(event.visible);
      case "opened":
        this.#wasConnected = true;
        this.#setConnection("open");
        return [];
      case "closed":
        return this.#connectionLost("The connection was closed.");
      case "url-changed":
        return this.#changeUrl();
      case "message":
        return event.message.type === "epoch"
          ? this.#startEpoch(event.message)
          : this.#setStream(event.message);
      case "track":
        this.#stream = { type: "state", state: "live", reason: "Playing over WebRTC." };
        this.#startPlaying();
        return [];
      case "transport-changed":
        return this.#connection === "off" ? [] : [...this.#disconnect(), ...this.#connect()];
      case "bytes":
        return this.#playing ? [{ type: "append", bytes: event.bytes }] : [];
      case "frame":
        if (this.#playing) {
          this.#advancing = this.#frameShown = true;
          this.#lastProgressAt = this.now();
        }
        return [];
      case "autoplay":
        this.#autoplayAllowed = event.allowed;
        return [];
      case "media-error":
        return this.#connection === "off" ? [] : this.#connectionLost(event.reason);
      case "unsupported":
        this.#unsupported = event.reason;
        return this.#disconnect();
      case "tick":
        return this.#tick();
    }
  }

  get status(): PlayerStatus {
    if (this.#unsupported) return { state: "error", reason: this.#unsupported };
    if (this.#visible === false)
      return { state: "paused", reason: "Not on screen, so nothing is downloaded." };
    if (!this.#stream) {
      if (this.#failures === 0) return CONNECTING;
      const reason = `${this.#lossReason} Retrying automatically.`;
      return this.#wasConnected ? { state: "reconnecting", reason } : STARTING;
    }
    const { state, reason } = this.#stream;
    if (state === "standby" || state === "error") return { state, reason };
    if (!this.#autoplayAllowed)
      return { state: "paused", reason: "This browser blocks autoplay; press Play." };
    if (state !== "live") return { state: "waiting", reason };
    if (this.#advancing) return { state, reason };
    return { state: "waiting", reason: this.#frameShown ? FROZEN : FIRST_FRAME_PENDING };
  }

  #setVisible(visible: boolean): Command[] {
    if (visible === this.#visible) return [];
    this.#visible = visible;
    if (!visible) return this.#disconnect();
    this.#failures = 0;
    return this.#connect();
  }

  /** Join the new URL at once; the last frame stays until the new stream paints. */
  #changeUrl(): Command[] {
    if (this.#visible !== true || this.#connection === "off") return [];
    this.#failures = 0;
    this.#forgetStream();
    return [{ type: "disconnect" }, ...this.#connect()];
  }

  #setStream(message: StateMessage): Command[] {
    this.#stream = message;
    this.#lastProgressAt = this.now();
    if (message.state === "live" || message.state === "starting") return [];
    return this.#endEpoch();
  }

  #startEpoch(epoch: EpochMessage): Command[] {
    this.#startPlaying();
    return [{ type: "start-epoch", epoch }];
  }

  #startPlaying(): void {
    this.#playing = true;
    this.#advancing = this.#frameShown = false;
    this.#lastProgressAt = this.now();
  }

  #endEpoch(): Command[] {
    this.#playing = false;
    this.#advancing = false;
    return [{ type: "clear" }];
  }

  #connect(): Command[] {
    if (this.#unsupported) return [];
    this.#setConnection("connecting");
    return [{ type: "connect" }];
  }

  /** Neither this nor a lost connection clears the media: the last frame stays on screen. */
  #disconnect(): Command[] {
    this.#forgetStream();
    this.#setConnection("off");
    return [{ type: "disconnect" }];
  }

  #connectionLost(reason: string): Command[] {
    if (this.#connection === "off" || this.#connection === "lost") return [];
    const wasStable = this.#connection === "open" && this.#connectionAge() >= STABLE_AFTER_MS;
    this.#failures = wasStable ? 1 : this.#failures + 1;
    const delay = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#failures - 1));
    this.#retryAt = this.now() + delay * (0.75 + 0.25 * this.random());
    this.#lossReason = reason;
    this.#forgetStream();
    this.#setConnection("lost");
    return [{ type: "disconnect" }];
  }

  #forgetStream(): void {
    this.#stream = null;
    this.#playing = false;
    this.#advancing = false;
  }

  #setConnection(connection: Connection): void {
    this.#connection = connection;
    this.#connectionChangedAt = this.now();
  }

  /** Milliseconds since the connection last changed. */
  #connectionAge(): number {
    return this.now() - this.#connectionChangedAt;
  }

  #tick(): Command[] {
    if (this.#connection === "lost" && this.now() >= this.#retryAt) return this.#connect();
    const timedOut = this.#connectionAge() >= CONNECT_TIMEOUT_MS;
    if (this.#connection === "connecting" && timedOut)
      return this.#connectionLost("The worker did not answer.");
    if (this.#connection !== "open") return [];
    if (!this.#stream)
      return timedOut ? this.#connectionLost("The worker sent no stream state.") : [];
    if (this.#stream.state !== "live" || !this.#autoplayAllowed) return [];
    const idleMs = this.now() - this.#lastProgressAt;
    if (idleMs >= FROZEN_AFTER_MS) this.#advancing = false;
    return idleMs >= RECONNECT_AFTER_MS ? this.#connectionLost("The video stopped arriving.") : [];
  }
}
