interface ToggleButtonProps {
  name: string;
  /** Key that does the same. */
  shortcut: string;
  on: boolean;
  onToggle: () => void;
  /** Why it can't be switched on, in a sentence; null if it can. */
  unavailable?: string | null;
}

export function ToggleButton({
  name,
  shortcut,
  on,
  onToggle,
  unavailable = null,
}: ToggleButtonProps) {
  return (
    <button
      type="button"
      className="button"
      aria-pressed={on}
      disabled={unavailable !== null && !on}
      title={unavailable ?? undefined}
      onClick={onToggle}
    >
      {name} <kbd>{shortcut}</kbd>
    </button>
  );
}
