interface ToggleProps {
  name: string;
  hotkey: string;
  on: boolean;
  onToggle: () => void;
}

/** A button that stays pressed, with its key. */
export function Toggle({ name, hotkey, on, onToggle }: ToggleProps) {
  return (
    <button type="button" className="button" aria-pressed={on} onClick={onToggle}>
      {name} <kbd>{hotkey}</kbd>
    </button>
  );
}
