import { useSessions } from "../api/queries";
import type { PoolStatus } from "../api/schema";
import { count } from "./format";

/** The encoder sessions of this machine: how many of how many, and who holds each. */
export function Sessions() {
  const { data: pools, error } = useSessions();
  return (
    <section className="card" aria-labelledby="sessions">
      <h2 id="sessions">Encoder sessions</h2>
      {pools?.map((pool) => (
        <Pool key={`${pool.pool} ${pool.gpu_index}`} pool={pool} />
      ))}
      {pools?.length === 0 && <p className="empty">This machine has no encoder to share.</p>}
      {!pools && (
        <p className="empty">
          {error ? "Who holds them is not known now." : "Asking who holds them."}
        </p>
      )}
    </section>
  );
}

function Pool({ pool }: { pool: PoolStatus }) {
  const free = Math.max(0, pool.limit - pool.used);
  const unknown = Math.max(0, pool.used - pool.holders.length);
  return (
    <div className="pool">
      <p className="pool-count">
        <strong>{count(pool.used)}</strong> of {count(pool.limit)} used
        <span>{nameOf(pool)}</span>
      </p>
      <ul className="slots">
        {pool.holders.map(({ slot, instance_id, pid, gpu_index, ours }) => (
          <li key={`${slot} ${pid}`} data-held={ours ? "ours" : "theirs"}>
            <strong>{instance_id ?? (ours ? "MetaBonk" : "another program")}</strong>
            <span>{placeOf(slot, pid, pool.gpu_indices.length > 1 ? gpu_index : null)}</span>
          </li>
        ))}
        {unknown > 0 && (
          <li data-held="theirs">
            <strong>{count(unknown)} more</strong>
            <span>other programs</span>
          </li>
        )}
        {free > 0 && (
          <li data-held="free">
            <strong>{count(free)} free</strong>
          </li>
        )}
      </ul>
    </div>
  );
}

function nameOf({ pool, gpu_indices, gpu_name }: PoolStatus): string {
  if (pool === "cpu") return "in software, on the processor";
  if (gpu_indices.length > 1) return `NVENC, shared by GPUs ${gpu_indices.join(", ")}`;
  return `NVENC, GPU ${gpu_indices[0] ?? 0}${gpu_name ? `, ${gpu_name}` : ""}`;
}

function placeOf(slot: number | null, pid: number | null, gpu: number | null): string {
  return [
    gpu !== null && `GPU ${gpu}`,
    slot !== null && `slot ${slot}`,
    pid !== null && `pid ${pid}`,
  ]
    .filter(Boolean)
    .join(", ");
}
