import { BASE_PATH } from "../api/base-path";
import { sharedAddresses } from "../streams/share";
import { CopyLink } from "./CopyLink";

/** Addresses for other programs: of a worker's stream, or of the program. */
export function Share({ worker }: { worker: string | null }) {
  const base = window.location.origin + BASE_PATH;
  return (
    <details className="card share">
      <summary>{worker ? `Watch ${worker} elsewhere` : "Watch the program elsewhere"}</summary>
      {!worker && (
        <p className="detail">
          One stream that follows the director and goes on through every change of worker.
        </p>
      )}
      <dl>
        {sharedAddresses(base, worker).map(({ name, address }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <code>{address}</code>
              <CopyLink address={() => address} what="address" />
            </dd>
          </div>
        ))}
      </dl>
      <p className="detail">
        Where viewers need the token, it follows as ?token=… or &amp;token=….
      </p>
    </details>
  );
}
