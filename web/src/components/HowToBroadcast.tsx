import { Notice } from "./Notice";

const CODE = `import metabonk

env = metabonk.Broadcast(env)`;

/** Says how environments get here. */
export function HowToBroadcast() {
  return (
    <Notice title="Nothing is broadcast yet">
      <p>Wrap the environments that you train on, whatever trains on them:</p>
      <pre>
        <code>{CODE}</code>
      </pre>
      <p>
        They appear here at their first <code>reset</code>, of every script on this machine, and are
        drawn only while somebody looks.
      </p>
    </Notice>
  );
}
