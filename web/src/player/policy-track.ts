/**
 * What the policy thought when it made the picture that is on the screen now.
 *
 * Thoughts arrive ahead of their pictures, stamped with media time; the player tells which picture
 * is shown. No browser, socket or timer in here.
 */

import type { AttentionMessage, PolicyMessage, ThoughtMessage } from "../api/schema";

export type MindMessage = PolicyMessage | ThoughtMessage | AttentionMessage;

export interface MindView {
  /** Names of the discrete actions; empty for a policy of another kind. */
  actions: readonly string[];
  /** Null until the first picture with a thought is shown. */
  thought: ThoughtMessage | null;
  /** Up to `thought` and with it, oldest first: the last `REMEMBERED` seconds of its epoch. */
  recent: readonly ThoughtMessage[];
  attention: AttentionMessage | null;
}

/** Seconds. A picture's time and its thought's may differ by a rounding of their clocks. */
export const TOLERANCE = 0.005;
export const REMEMBERED = 10;
/** Messages, in case pictures stop while thoughts go on; half a minute of a fast player. */
export const KEPT = 1_000;

const NOTHING: MindView = { actions: [], thought: null, recent: [], attention: null };

export class Mind {
  readonly #listeners = new Set<() => void>();
  #thoughts: ThoughtMessage[] = [];
  #attentions: AttentionMessage[] = [];
  #view: MindView = NOTHING;

  get view(): MindView {
    return this.#view;
  }

  /** Calls `listener` when `view` has changed; the function it returns ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  hear(message: MindMessage): void {
    switch (message.type) {
      case "policy":
        this.#tell({ ...this.#view, actions: message.actions });
        break;
      case "thought":
        this.#thoughts = kept(this.#thoughts, message);
        break;
      case "attention":
        this.#attentions = kept(this.#attentions, message);
        break;
    }
  }

  /** The picture at `time` (seconds of media time) of `epoch` is on the screen now. */
  show(epoch: number, time: number): void {
    const due = (message: { epoch: number; time: number }) =>
      message.epoch === epoch && message.time <= time + TOLERANCE;
    const thought = this.#thoughts.findLast(due) ?? null;
    const attention = this.#attentions.findLast(due) ?? null;
    if (thought === this.#view.thought && attention === this.#view.attention) return;
    this.#thoughts = this.#thoughts.filter((past) => past.time > time - REMEMBERED || !due(past));
    this.#attentions = this.#attentions.filter((past) => past === attention || !due(past));
    this.#tell({ ...this.#view, thought, attention, recent: this.#thoughts.filter(due) });
  }

  /** A new connection may lead to a new process, whose epochs count from the start. */
  forget(): void {
    this.#thoughts = [];
    this.#attentions = [];
    if (this.#view.thought || this.#view.attention)
      this.#tell({ ...NOTHING, actions: this.#view.actions });
  }

  #tell(view: MindView): void {
    this.#view = view;
    for (const listener of this.#listeners) listener();
  }
}

function kept<Message>(messages: readonly Message[], newest: Message): Message[] {
  return [...messages.slice(1 - KEPT), newest];
}
