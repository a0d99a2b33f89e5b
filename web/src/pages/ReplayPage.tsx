import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { Link, useSearchParams } from "react-router";
import { ApiError } from "../api/client";
import { useEpisode, useFleet } from "../api/queries";
import type { Episode } from "../api/schema";
import { formatCount, formatDateTime, formatNumber } from "../components/format";
import { ConnectionNotice, Notice } from "../components/Notice";
import { Replay } from "../components/Replay";
import { episodeUrl, nameEpisode, parseReplayQuery } from "../replays/urls";
import { toSentence } from "../streams/stream-status";
import { streamPath } from "../streams/urls";

/** `/replay?run=first&episode=12&t=3.5`: an episode drawn again, alone or beside a rematch. */
export function ReplayPage() {
  const [params, setParams] = useSearchParams();
  const query = parseReplayQuery(params);
  const { data: fleet, error: fleetError } = useFleet();
  const run = query.run ?? fleet?.run ?? undefined;
  const { data: episode, error } = useEpisode(run, query.episode);
  const client = useQueryClient();

  // A link such as "the best" becomes one to this very episode.
  const { by } = query.episode;
  useEffect(() => {
    if (!run || !episode || by === "id") return;
    const chosen = { by: "id", id: episode.id } as const;
    client.setQueryData([episodeUrl(run, chosen)], episode);
    setParams((previous) => nameEpisode(previous, { run, id: episode.id }), { replace: true });
  }, [run, episode, by, client, setParams]);

  if (run && episode?.replayable) {
    const { rematch, time } = query;
    return (
      <>
        <title>{`Episode ${episode.episode} of omega-${episode.worker_index} · MetaBonk`}</title>
        <Replay key={`${run} ${episode.id} ${rematch}`} {...{ run, episode, rematch, time }}>
          <EpisodeTitle run={run} episode={episode} />
        </Replay>
      </>
    );
  }
  return (
    <>
      <title>Replay · MetaBonk</title>
      <h1>Replay</h1>
      <Missing {...{ run, episode, error: error ?? (run ? null : fleetError) }} />
    </>
  );
}

function EpisodeTitle({ run, episode }: { run: string; episode: Episode }) {
  const worker = `omega-${episode.worker_index}`;
  return (
    <div>
      <h1>
        Episode {formatCount(episode.episode)} of <Link to={streamPath(worker)}>{worker}</Link>
      </h1>
      <p className="replay-facts">
        <span>
          return <strong>{formatNumber(episode.total_reward)}</strong>
        </span>
        <span>{formatCount(episode.length)} steps</span>
        <span>policy {formatCount(episode.policy_version)}</span>
        <span>{formatDateTime(episode.ended_at * 1000)}</span>
        <Link to={`/runs?runs=${encodeURIComponent(run)}`}>run {run}</Link>
      </p>
    </div>
  );
}

interface MissingProps {
  run: string | undefined;
  episode: Episode | null | undefined;
  error: Error | null;
}

/** Why there is nothing to play, or that it is being looked for. */
function Missing({ run, episode, error }: MissingProps): ReactNode {
  if (error && !(error instanceof ApiError && error.status === 404))
    return <ConnectionNotice error={error} dataUpdatedAt={null} />;
  if (error)
    return (
      <Notice title="No replay" tone="warning">
        <p>{toSentence(error.message)}</p>
      </Notice>
    );
  if (episode === undefined)
    return (
      <Notice title="Looking for the episode">
        <p>Its replay starts as soon as the orchestrator answers.</p>
      </Notice>
    );
  return (
    <Notice title="No replay" tone="warning">
      <p>
        {episode
          ? `The log of episode ${formatCount(episode.episode)} of omega-${episode.worker_index} is not kept, and without it the episode can't be repeated. `
          : `No episode of ${run} can be repeated yet. `}
        Every finished episode is logged; of a long run the best, the worst, the newest and a sample
        of all others are kept (<code>[replays] keep_mb</code>). Runs from before version 0.2 have
        no logs.
      </p>
    </Notice>
  );
}
