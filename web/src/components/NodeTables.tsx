import type { NodeStatus, WorkerStatus } from "../api/schema";
import { formatCount } from "./format";
import { WorkerTable } from "./WorkerTable";

/** The fleet's workers, with a table for each machine that plays. */
export function NodeTables({ nodes, workers }: { nodes: NodeStatus[]; workers: WorkerStatus[] }) {
  return nodes.map((node) => (
    <section key={node.node} className="node" aria-labelledby={`node ${node.node}`}>
      <h3 id={`node ${node.node}`}>
        {node.node} <small>{describe(node)}</small>
      </h3>
      <WorkerTable
        caption={`Workers of ${node.node}`}
        workers={workers.filter((worker) => worker.node === node.node)}
      />
    </section>
  ));
}

function describe({ state, cores, gpus, sessions, workers }: NodeStatus): string {
  return [
    state !== "present" && state,
    counted(workers.length, "worker"),
    counted(cores, "core"),
    gpus.length > 0 && counted(gpus.length, "GPU"),
    counted(sessions, "encoder session"),
  ]
    .filter(Boolean)
    .join(", ");
}

function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}
