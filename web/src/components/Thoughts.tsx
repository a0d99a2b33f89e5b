import { RETURNS } from "../learning/terms";
import type { PolicyTrack, PolicyView, ShownThought } from "../player/policy-track";
import { usePolicyTrack } from "../player/use-policy-track";
import { ActionProbabilities } from "./ActionProbabilities";
import { Explained } from "./Explained";
import { formatNumber, formatSigned } from "./format";
import { ValueChart } from "./ValueChart";

/** Overlay of the policy's thoughts on the frame on screen of a live stream. */
export function Thoughts({ track }: { track: PolicyTrack }) {
  return <ThoughtsPanel {...usePolicyTrack(track)} />;
}

const LABEL = "The policy's thoughts";

interface ThoughtsPanelProps extends PolicyView<ShownThought> {
  /** For screen readers, where there are several. */
  label?: string;
}

/** The policy's thoughts on one frame; renders nothing before the first. */
export function ThoughtsPanel({ label = LABEL, actions, thought, recent }: ThoughtsPanelProps) {
  if (!thought) return null;
  return (
    <section className="thoughts" aria-label={label}>
      <ActionProbabilities names={actions} thought={thought} />
      <div className="returns">
        <dl>
          <div className="returns-total">
            <dt>
              <Explained explanation={RETURNS.soFar}>Return</Explained>
            </dt>
            <dd>{formatNumber(thought.episode_return)}</dd>
          </div>
          {thought.value !== null && (
            <div>
              <dt>Value</dt>
              <dd>{formatNumber(thought.value)}</dd>
            </div>
          )}
          <div>
            <dt>Reward</dt>
            <dd data-sign={Math.sign(thought.reward)}>{formatSigned(thought.reward)}</dd>
          </div>
        </dl>
        <ValueChart thoughts={recent} />
        {thought.text && <p className="thought-text">{thought.text}</p>}
      </div>
    </section>
  );
}
