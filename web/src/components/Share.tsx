import { useState } from "react";
import { BASE_PATH } from "../api/base-path";
import { useEmbedLink } from "../api/queries";
import { frameOf, sharedAddresses } from "../streams/share";
import { CopyLink } from "./CopyLink";

/** Addresses for other programs and pages: of a worker's stream, or of the program. */
export function Share({ worker }: { worker: string | null }) {
  const [open, setOpen] = useState(false);
  const base = window.location.origin + BASE_PATH;
  return (
    <details className="card share" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>{worker ? `Watch ${worker} elsewhere` : "Watch the program elsewhere"}</summary>
      {!worker && (
        <p className="detail">
          One stream that follows the director and goes on through every change of worker.
        </p>
      )}
      <dl>
        {sharedAddresses(base, worker).map(({ name, address }) => (
          <Row key={name} name={name} text={address} what="address" />
        ))}
        {open && <EmbedRow base={base} name={worker ?? "program"} />}
      </dl>
      <p className="detail">
        Where viewers need the token, it follows as ?token=… or &amp;token=…. The HTML for a page
        has a key instead, which shows this stream and nothing else.
      </p>
    </details>
  );
}

function Row({ name, text, what }: { name: string; text: string; what: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <code>{text}</code>
        <CopyLink address={() => text} what={what} />
      </dd>
    </div>
  );
}

/** HTML of a tile for a page elsewhere, or how to allow that. */
function EmbedRow({ base, name }: { base: string; name: string }) {
  const { data: link } = useEmbedLink(name);
  if (!link) return null;
  const where = `A page of ${link.origins.join(", ")}`;
  if (link.path !== null) return <Row name={where} text={frameOf(base + link.path)} what="HTML" />;
  return (
    <div>
      <dt>A page of yours</dt>
      <dd className="detail">
        Name its origin in <code>embed.origins</code>, such as https://example.org, and start again.
      </dd>
    </div>
  );
}
