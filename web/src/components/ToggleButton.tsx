interface ToggleButtonProps {
  name: string;
  /** Key that does the same. */
  shortcut: string;
  on: boolean;
  onToggle: () => void;
}

export function ToggleButton({ name, shortcut, on, onToggle }: ToggleButtonProps) {
  return (
    <button type="button" className="button" aria-pressed={on} onClick={onToggle}>
      {name} <kbd>{shortcut}</kbd>
    </button>
  );
}
