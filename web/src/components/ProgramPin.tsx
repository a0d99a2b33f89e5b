import { useMutation } from "@tanstack/react-query";
import { pinProgram } from "../api/queries";
import type { Fleet } from "../api/schema";
import { byIndex } from "../streams/workers";

/** Who is shown in the program, for all its viewers: the director's choice, or a worker. */
export function ProgramPin({ fleet }: { fleet: Fleet }) {
  const { mutate, error } = useMutation({ mutationFn: pinProgram, networkMode: "always" });
  return (
    <section className="card" aria-labelledby="program">
      <div className="page-title">
        <h2 id="program">Program</h2>
        {fleet.pin !== null && (
          <button type="button" className="button" onClick={() => mutate(null)}>
            Back to the director
          </button>
        )}
      </div>
      <label className="detail">
        Everyone who watches it sees{" "}
        <select
          className="field"
          value={fleet.pin ?? ""}
          onChange={({ target }) => mutate(target.value || null)}
        >
          <option value="">whom the director chooses</option>
          {byIndex(fleet.workers).map(({ instance_id }) => (
            <option key={instance_id}>{instance_id}</option>
          ))}
        </select>
      </label>
      {error && <p className="detail">{error.message}</p>}
    </section>
  );
}
