import { useSessions } from "../api/queries";
import type { PoolStatus } from "../api/schema";
import { formatCount } from "./format";

/** Encoder sessions of every machine: used, limit and holders of each pool. */
export function Sessions() {
  const { data: pools, error } = useSessions();
  return (
    <section className="card" aria-labelledby="sessions">
      <h2 id="sessions">Encoder sessions</h2>
      {pools?.map((pool) => (
        <Pool key={`${pool.node} ${pool.pool} ${pool.gpu_index}`} pool={pool} />
      ))}
      {pools?.length === 0 && <p className="empty">No video encoder on this machine.</p>}
      {!pools && (
        <p className="empty">
          {error ? `Could not load the sessions: ${error.message}.` : "Loading the sessions…"}
        </p>
      )}
    </section>
  );
}

function Pool({ pool }: { pool: PoolStatus }) {
  const free = Math.max(0, pool.limit - pool.used);
  const unattributed = Math.max(0, pool.used - pool.holders.length);
  return (
    <div className="pool">
      <p className="pool-count">
        <strong>{formatCount(pool.used)}</strong> of {formatCount(pool.limit)} used
        <span>{pool.node === null ? poolName(pool) : `${pool.node}: ${poolName(pool)}`}</span>
      </p>
      <ul className="slots">
        {pool.holders.map(({ slot, instance_id, pid, gpu_index, ours }) => (
          <li key={`${slot} ${pid}`} data-held={ours ? "ours" : "external"}>
            <strong>{instance_id ?? (ours ? "MetaBonk" : "another program")}</strong>
            <span>{slotDetail(slot, pid, pool.gpu_indices.length > 1 ? gpu_index : null)}</span>
          </li>
        ))}
        {unattributed > 0 && (
          <li data-held="external">
            <strong>{formatCount(unattributed)} more</strong>
            <span>other programs</span>
          </li>
        )}
        {free > 0 && (
          <li data-held="free">
            <strong>{formatCount(free)} free</strong>
          </li>
        )}
      </ul>
      {pool.note !== null && <p className="empty">{pool.note}</p>}
    </div>
  );
}

function poolName({ pool, gpu_indices, gpu_name }: PoolStatus): string {
  if (pool === "cpu") return "Software encoding (CPU)";
  if (gpu_indices.length > 1) return `NVENC, shared by GPUs ${gpu_indices.join(", ")}`;
  return `NVENC, GPU ${gpu_indices[0] ?? 0}${gpu_name ? `, ${gpu_name}` : ""}`;
}

function slotDetail(slot: number | null, pid: number | null, gpu: number | null): string {
  return [
    gpu !== null && `GPU ${gpu}`,
    slot !== null && `slot ${slot}`,
    pid !== null && `pid ${pid}`,
  ]
    .filter(Boolean)
    .join(", ");
}
