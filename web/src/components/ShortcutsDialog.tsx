import { useEffect, useRef } from "react";
import { SHORTCUTS } from "./shortcuts";

/** List of the keyboard shortcuts; the native dialog traps focus and closes with Esc. */
export function ShortcutsDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);

  return (
    <dialog ref={dialog} className="shortcuts" aria-labelledby="shortcuts" onClose={onClose}>
      <h2 id="shortcuts">Keyboard shortcuts</h2>
      <dl>
        {SHORTCUTS.map(({ keys, action, pages }) => (
          <div key={`${keys} ${pages}`}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>
              {action}
              <small>{pages}</small>
            </dd>
          </div>
        ))}
      </dl>
      <button type="button" className="button" onClick={onClose}>
        Close
      </button>
    </dialog>
  );
}
