import type { ThoughtMessage } from "../api/schema";
import { type Mind, REMEMBERED } from "../player/policy-track";
import { useMind } from "../player/use-mind";
import { actionBars } from "./ActionProbabilities";
import { percent, rate, signed } from "./format";
import { HEIGHT, ticks, valueLine, WIDTH } from "./ValueChart";

/** What the policy thinks of the picture that is shown now; nothing before it has thought. */
export function Thoughts({ mind }: { mind: Mind }) {
  const { actions, thought, recent } = useMind(mind);
  if (!thought) return null;
  const bars = actionBars(actions, thought.probabilities, thought.action);
  return (
    <section className="thoughts" aria-label="What the policy thinks">
      {bars.length > 0 && (
        <ol className="actions" aria-label="Probability of each action">
          {bars.map(({ index, name, probability, chosen }) => (
            <li key={index} data-chosen={chosen}>
              <span className="action-name">
                {name}
                {chosen && <span className="unseen"> (chosen)</span>}
              </span>
              <span className="action-bar">
                <span style={{ transform: `scaleX(${probability})` }} />
              </span>
              <span className="action-share">{percent(probability)}</span>
            </li>
          ))}
        </ol>
      )}
      <Outcome thought={thought} recent={recent} />
    </section>
  );
}

interface OutcomeProps {
  thought: ThoughtMessage;
  recent: readonly ThoughtMessage[];
}

function Outcome({ thought, recent }: OutcomeProps) {
  return (
    <div className="outcome">
      <dl>
        <div className="outcome-return">
          <dt>Return</dt>
          <dd>{rate(thought.episode_return)}</dd>
        </div>
        <div>
          <dt>Value</dt>
          <dd>{rate(thought.value)}</dd>
        </div>
        <div>
          <dt>Reward</dt>
          <dd data-sign={Math.sign(thought.reward)}>{signed(thought.reward)}</dd>
        </div>
      </dl>
      <svg
        className="trace"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Rewards and value of the last ${REMEMBERED} seconds`}
      >
        {ticks(recent, REMEMBERED).map(({ x, from, to, good }) => (
          <line key={x} data-good={good} x1={x} x2={x} y1={from} y2={to} />
        ))}
        <polyline points={valueLine(recent, REMEMBERED)} />
      </svg>
    </div>
  );
}
