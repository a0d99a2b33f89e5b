import { type ReactNode, useId } from "react";

/** Words that explain themselves to whoever points at them, presses them or has them read out. */
export function Explained({
  explanation,
  children,
}: {
  /** A sentence; null: there is nothing to explain. */
  explanation: string | null;
  children: ReactNode;
}) {
  const id = useId();
  if (explanation === null) return children;
  return (
    <>
      <button type="button" className="explained" title={explanation} popoverTarget={id}>
        {children}
      </button>
      <span className="explanation" id={id} popover="auto">
        {explanation}
      </span>
    </>
  );
}
