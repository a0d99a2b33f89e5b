import { type PolicyTrack, usePolicyTrack } from "../player/policy-track";
import { ActionProbabilities } from "./ActionProbabilities";
import { formatNumber, formatSigned } from "./format";
import { ValueChart } from "./ValueChart";

/** Overlay of the policy's thoughts on the frame on screen; renders nothing before the first. */
export function Thoughts({ track }: { track: PolicyTrack }) {
  const { actions, thought, recent } = usePolicyTrack(track);
  if (!thought) return null;
  return (
    <section className="thoughts" aria-label="The policy's thoughts">
      <ActionProbabilities names={actions} thought={thought} />
      <div className="returns">
        <dl>
          <div className="returns-total">
            <dt>Return</dt>
            <dd>{formatNumber(thought.episode_return)}</dd>
          </div>
          <div>
            <dt>Value</dt>
            <dd>{formatNumber(thought.value)}</dd>
          </div>
          <div>
            <dt>Reward</dt>
            <dd data-sign={Math.sign(thought.reward)}>{formatSigned(thought.reward)}</dd>
          </div>
        </dl>
        <ValueChart thoughts={recent} />
      </div>
    </section>
  );
}
