import { useRef, useState } from "react";
import { useDeleteRun, useSaveNotes } from "../api/queries";
import type { RunNotes as Notes, RunSummary } from "../api/schema";

/** Title, tags and note of a run, to be changed; and its end. */
export function RunNotes({ run: { run, notes, current } }: { run: RunSummary }) {
  const [draft, setDraft] = useState(notes);
  const save = useSaveNotes(run);
  const remove = useDeleteRun(run);
  const dialog = useRef<HTMLDialogElement>(null);
  const change = (changes: Partial<Notes>) => setDraft({ ...draft, ...changes });
  const error = save.error ?? remove.error;
  return (
    <section className="card" aria-labelledby={`notes-${run}`}>
      <h2 id={`notes-${run}`}>Notes on {run}</h2>
      <form
        className="notes"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate(draft);
        }}
      >
        <label>
          Title
          <input
            className="field"
            maxLength={300}
            value={draft.title}
            onChange={({ target }) => change({ title: target.value })}
          />
        </label>
        <label>
          Tags, separated by commas
          <input
            className="field"
            defaultValue={draft.tags.join(", ")}
            onChange={({ target }) => change({ tags: tagsIn(target.value) })}
          />
        </label>
        <label>
          Note
          <textarea
            className="field"
            rows={3}
            maxLength={20_000}
            value={draft.note}
            onChange={({ target }) => change({ note: target.value })}
          />
        </label>
        <div className="notes-actions">
          <button type="submit" className="button" disabled={save.isPending}>
            Save
          </button>
          <button
            type="button"
            className="button"
            onClick={() => {
              const archived = { ...draft, archived: !notes.archived };
              setDraft(archived);
              save.mutate(archived);
            }}
          >
            {notes.archived ? "Bring back from the archive" : "Archive"}
          </button>
          {!current && (
            <button type="button" className="button" onClick={() => dialog.current?.showModal()}>
              Delete…
            </button>
          )}
          <span role="status">
            {error ? `Not done: ${error.message}` : save.isSuccess && "Saved."}
          </span>
        </div>
      </form>
      <dialog ref={dialog} className="shortcuts" aria-labelledby={`delete-${run}`}>
        <h2 id={`delete-${run}`}>Delete {run}?</h2>
        <p>Its checkpoints, episodes and curves are deleted for ever.</p>
        <form method="dialog" className="notes-actions">
          <button type="submit" className="button">
            Keep it
          </button>
          <button type="submit" className="button" onClick={() => remove.mutate()}>
            Delete it
          </button>
        </form>
      </dialog>
    </section>
  );
}

function tagsIn(text: string): string[] {
  const tags = text.split(",").map((tag) => tag.trim());
  return [...new Set(tags.filter((tag) => tag !== ""))].slice(0, 20);
}
