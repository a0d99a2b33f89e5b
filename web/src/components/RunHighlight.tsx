import { useHighlight } from "../api/queries";
import { highlightUrl } from "../streams/urls";
import { formatCount, formatDateTime, formatNumber } from "./format";

/** Video of the best episode of a run that was live; renders nothing where there is none. */
export function RunHighlight({ run }: { run: string }) {
  const { data: highlight } = useHighlight(run);
  if (!highlight) return null;
  const { worker_index, episode, total_reward, ended_at, whole } = highlight;
  // A new best replaces the file under the same name.
  const url = highlightUrl(run, ended_at);
  return (
    <figure className="highlight">
      <video
        key={url}
        src={url}
        controls
        muted
        playsInline
        preload="metadata"
        aria-label={`Best live episode of ${run}`}
      />
      <figcaption>
        Best live episode: <strong>{formatNumber(total_reward)}</strong> in episode{" "}
        {formatCount(episode)} of omega-{worker_index}, {formatDateTime(ended_at * 1000)}.{" "}
        {!whole && "Part of it was not live. "}
        <a href={url} download>
          Save it
        </a>
      </figcaption>
    </figure>
  );
}
