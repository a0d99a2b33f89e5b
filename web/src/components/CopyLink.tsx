import { useEffect, useState } from "react";

const SHOWN_MS = 2_000;

/** Button that copies an address; renders nothing where the browser forbids it, as over HTTP. */
export function CopyLink({ address, what = "link" }: { address: () => string; what?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);

  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(address());
    setCopied(true);
  };
  return (
    <button type="button" className="button" onClick={copy}>
      <span role="status">{copied ? "Copied" : `Copy ${what}`}</span>
    </button>
  );
}
