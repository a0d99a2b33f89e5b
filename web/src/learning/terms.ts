/** The curves of a run, in the order of the page, and what each says. */

export interface Term {
  name: string;
  explanation: string;
}

export const RETURN = "return";

export const TERMS: Readonly<Record<string, Term>> = {
  [RETURN]: {
    name: "Return",
    explanation: "Sum of an episode's rewards as the game counts them; mean of neighbours.",
  },
  "episode/length": {
    name: "Episode length",
    explanation: "Steps; mean of the last 100 episodes.",
  },
  "learner/steps_per_s": {
    name: "Throughput",
    explanation: "Steps trained per second, over the last half minute.",
  },
  "update/entropy": {
    name: "Entropy",
    explanation: "How undecided the policy is; near 0 it always does the same.",
  },
  "update/explained_variance": {
    name: "Explained variance",
    explanation: "How well values foresee returns: 1 exactly, 0 no better than their mean.",
  },
  "update/kl": {
    name: "KL divergence",
    explanation: "How far an update moves the policy away from the one that played.",
  },
  "update/clip_fraction": {
    name: "Clip fraction",
    explanation: "Share of steps that an update would move too far; much above 0.2 is a lot.",
  },
  "update/policy": {
    name: "Policy loss",
    explanation: "PPO's clipped objective, negated: what an update lowers to gain return.",
  },
  "update/value": {
    name: "Value loss",
    explanation: "Squared error of the estimated returns, which are normalized.",
  },
  "update/grad_norm": {
    name: "Gradient norm",
    explanation: "Length of the gradient before it is clipped.",
  },
  "learner/policy_lag": {
    name: "Policy lag",
    explanation: "How many versions older the policy that played is than the one that learns.",
  },
  "learner/steps_dropped": {
    name: "Steps dropped",
    explanation: "Steps never learned from: too old, or the queue was full.",
  },
  "update/learning_rate": { name: "Learning rate", explanation: "Of Adam, after its schedule." },
};

/** What a number called a return is the return of. */
export const RETURNS = {
  soFar: "Sum of the rewards of the episode that is played, so far.",
  last: "Sum of the rewards of the last finished episode.",
  mean: "Mean return of the last 100 finished episodes, of all workers.",
} as const;

/** Recorded under two names, or of no use as a curve. */
const LEFT_OUT: ReadonlySet<string> = new Set(["episode/return", "update/gradient_steps"]);

/** Return the curves to show of those that were recorded: known ones first. */
export function shownCurves(recorded: Iterable<string>): string[] {
  const names = new Set(recorded);
  const known = Object.keys(TERMS).filter((name) => names.has(name));
  const others = [...names].filter((name) => !(name in TERMS) && !LEFT_OUT.has(name)).sort();
  return [...known, ...others];
}

/** Return what a curve is called and what it says; a later version may have more curves. */
export function termOf(name: string): Term {
  return TERMS[name] ?? { name, explanation: "" };
}
