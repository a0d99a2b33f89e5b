import { useEffect, useState } from "react";
import { useSessions } from "../api/queries";
import type { PoolStatus, WorkerStatus } from "../api/schema";
import type { LivePlayer, PlayerFigures } from "../player/live-player";
import { bitrate, count, duration, interval, MISSING, rate, size } from "./format";
import { type Figure, Figures } from "./Stats";

const INTERVAL_MS = 1_000;

interface StreamFiguresProps {
  status: WorkerStatus;
  /** This page's own, whose figures the worker can't know. */
  player: LivePlayer | null;
}

/** How the picture travels: what the worker sends and what this page makes of it. */
export function StreamFigures({ status, player }: StreamFiguresProps) {
  const seen = usePlayerFigures(player);
  const { data: pools } = useSessions();
  const live = status.stream_state === "live";
  const figures: Figure[] = [
    {
      name: "Encoded FPS",
      value: rate(status.stream_fps),
      note: `${rate(status.frames_fps)} drawn${wantedOf(status)}`,
    },
    { name: "Bitrate", value: live ? bitrate(status.stream_bitrate) : MISSING },
    latencyOf(live ? seen : null),
    {
      name: "Dropped",
      value: count(status.frames_dropped),
      note: `of ${count(status.frames_ok + status.frames_dropped)}; ${count(seen?.dropped)} here`,
    },
    {
      name: "Viewers",
      value: count(status.stream_active_clients),
      note: `${count(status.stream_dedicated_clients)} on its own page`,
    },
    {
      name: "Session",
      value: sessionOf(status, pools ?? []),
      note: status.stream_backend || undefined,
    },
    {
      name: "Size",
      value: size(status.spectator_width, status.spectator_height),
      note: `drawn at ${size(status.pixel_src_width, status.pixel_src_height)}`,
    },
  ];
  return (
    <section className="card" aria-labelledby="stream">
      <h2 id="stream">Stream</h2>
      <Figures figures={figures} />
      {status.stream_quality && <p className="detail">{status.stream_quality}.</p>}
      {status.streamer_last_error && (
        <p className="detail">Last failure: {status.streamer_last_error}</p>
      )}
    </section>
  );
}

export function TrainingFigures({ status }: { status: WorkerStatus }) {
  const figures: Figure[] = [
    { name: "Last return", value: rate(status.episode_return) },
    { name: "Steps/s", value: rate(status.steps_per_s) },
    { name: "Steps", value: count(status.step) },
    { name: "Episodes", value: count(status.episode) },
    { name: "Policy version", value: count(status.policy_version) },
    { name: "Observation", value: size(status.pixel_obs_width, status.pixel_obs_height) },
    { name: "GPU", value: status.gpu_index === null ? "none" : String(status.gpu_index) },
    { name: "Running for", value: duration(status.uptime_s) },
  ];
  return (
    <section className="card" aria-labelledby="training">
      <h2 id="training">{status.mode === "train" ? "Training" : "Playing"}</h2>
      <Figures figures={figures} />
    </section>
  );
}

function wantedOf({ stream_target_fps }: WorkerStatus): string {
  return stream_target_fps === null ? "" : ` of ${stream_target_fps}`;
}

/** From the policy's decision to this screen where that can be known, else what the player holds. */
function latencyOf(seen: PlayerFigures | null): Figure {
  const behind = interval(seen?.behind);
  if (seen?.latency == null)
    return { name: "Behind live", value: behind, note: "held in this player" };
  return {
    name: "Latency",
    value: interval(seen.latency),
    note: `decision to screen; ${behind} held`,
  };
}

function sessionOf(
  { instance_id, nvenc_slot, gpu_index, stream_backend }: WorkerStatus,
  pools: readonly PoolStatus[],
): string {
  if (nvenc_slot !== null) return `NVENC ${gpu_index ?? 0}, slot ${nvenc_slot}`;
  if (!stream_backend) return "none";
  const held = pools
    .filter(({ pool }) => pool === "cpu")
    .flatMap(({ holders }) => holders)
    .find((holder) => holder.ours && holder.instance_id === instance_id);
  return held?.slot == null ? "software" : `software, slot ${held.slot}`;
}

function usePlayerFigures(player: LivePlayer | null): PlayerFigures | null {
  const [figures, setFigures] = useState<PlayerFigures | null>(null);
  useEffect(() => {
    if (!player) return;
    const timer = setInterval(() => setFigures(player.figures), INTERVAL_MS);
    return () => clearInterval(timer);
  }, [player]);
  return figures;
}
