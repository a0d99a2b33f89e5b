/**
 * Timed metadata track: what the policy thought, aligned with the video frame on screen.
 *
 * Messages are stamped with media time and arrive ahead of their frames; the player reports which
 * frame is on screen.
 */

import type { PolicyMessage, SaliencyMessage, ThoughtMessage } from "../api/schema";

export type TrackMessage = PolicyMessage | ThoughtMessage | SaliencyMessage;

/** What is shown of a thought, live or in a replay. */
export type ShownThought = Pick<
  ThoughtMessage,
  "time" | "action" | "probabilities" | "value" | "reward" | "episode_return"
> & { text?: string | null };

/** Policy output that belongs to the frame on screen. */
export interface PolicyView<Thought extends ShownThought = ThoughtMessage> {
  /** Names of the discrete actions; empty for continuous action spaces. */
  actions: readonly string[];
  /** Null until a frame with a thought is shown. */
  thought: Thought | null;
  /** The last `RECENT_S` seconds of the epoch up to and including `thought`, oldest first. */
  recent: readonly Thought[];
  saliency: SaliencyMessage | null;
}

/** Browsers round the media time of a frame; a message may be this many seconds ahead of it. */
export const ROUNDING_S = 0.005;
export const RECENT_S = 10;
/** Bound on memory if frames stop while messages keep coming: half a minute of a fast game. */
export const MAX_MESSAGES = 1_000;

const EMPTY: PolicyView = { actions: [], thought: null, recent: [], saliency: null };

export class PolicyTrack {
  readonly #listeners = new Set<() => void>();
  #thoughts: ThoughtMessage[] = [];
  #saliencyMaps: SaliencyMessage[] = [];
  #view: PolicyView = EMPTY;

  get view(): PolicyView {
    return this.#view;
  }

  /** Call `listener` whenever `view` changes; returns the unsubscribe function. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  push(message: TrackMessage): void {
    switch (message.type) {
      case "policy":
        this.#update({ ...this.#view, actions: message.actions });
        break;
      case "thought":
        this.#thoughts = appendBounded(this.#thoughts, message);
        break;
      case "saliency":
        this.#saliencyMaps = appendBounded(this.#saliencyMaps, message);
        break;
    }
  }

  /** Move to the frame on screen: `time` is its media time in seconds within `epoch`. */
  seek(epoch: number, time: number): void {
    const isDue = (message: { epoch: number; time: number }) =>
      message.epoch === epoch && message.time <= time + ROUNDING_S;
    const thought = this.#thoughts.findLast(isDue) ?? null;
    const saliency = this.#saliencyMaps.findLast(isDue) ?? null;
    if (thought === this.#view.thought && saliency === this.#view.saliency) return;
    this.#thoughts = this.#thoughts.filter((each) => each.time > time - RECENT_S || !isDue(each));
    this.#saliencyMaps = this.#saliencyMaps.filter((each) => each === saliency || !isDue(each));
    this.#update({ ...this.#view, thought, saliency, recent: this.#thoughts.filter(isDue) });
  }

  /** Drop all timed messages: a new connection may reach a new process that restarts its epochs. */
  reset(): void {
    this.#thoughts = [];
    this.#saliencyMaps = [];
    if (this.#view.thought || this.#view.saliency)
      this.#update({ ...EMPTY, actions: this.#view.actions });
  }

  #update(view: PolicyView): void {
    this.#view = view;
    for (const listener of this.#listeners) listener();
  }
}

function appendBounded<Message>(messages: readonly Message[], newest: Message): Message[] {
  return [...messages.slice(1 - MAX_MESSAGES), newest];
}
