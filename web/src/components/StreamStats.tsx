import { useEffect, useState } from "react";
import { useSessions } from "../api/queries";
import type { PoolStatus, WorkerStatus } from "../api/schema";
import { RETURNS } from "../learning/terms";
import type { LivePlayer, PlayerStats } from "../player/live-player";
import {
  formatBitrate,
  formatCount,
  formatDuration,
  formatLatency,
  formatNumber,
  formatResolution,
  MISSING,
} from "./format";
import { type Stat, Stats } from "./Stats";

const INTERVAL_MS = 1_000;

interface StreamStatsProps {
  status: WorkerStatus;
  /** This page's player, for what the worker cannot measure. */
  player: LivePlayer | null;
}

/** Stream statistics from the worker and from this page's player. */
export function StreamStats({ status, player }: StreamStatsProps) {
  const playerStats = usePlayerStats(player);
  const { data: pools } = useSessions();
  const live = status.stream_state === "live";
  const dropped = formatCount(playerStats?.droppedFrames);
  const stats: Stat[] = [
    {
      name: "Encoded FPS",
      value: formatNumber(status.stream_fps),
      note: `${formatNumber(status.frames_fps)}${targetFps(status)} rendered`,
    },
    { name: "Bitrate", value: live ? formatBitrate(status.stream_bitrate) : MISSING },
    latencyStat(live ? playerStats : null),
    {
      name: "Dropped frames",
      value: formatCount(status.frames_dropped),
      note: `of ${formatCount(status.frames_ok + status.frames_dropped)}; ${dropped} in this browser`,
    },
    {
      name: "Viewers",
      value: formatCount(status.stream_active_clients),
      note: `${formatCount(status.stream_dedicated_clients)} chose this worker`,
    },
    {
      name: "Session",
      value: sessionName(status, pools ?? []),
      note: status.stream_backend || undefined,
    },
    {
      name: "Resolution",
      value: formatResolution(status.spectator_width, status.spectator_height),
      note: `rendered at ${formatResolution(status.pixel_src_width, status.pixel_src_height)}`,
    },
  ];
  return (
    <section className="card" aria-labelledby="stream">
      <h2 id="stream">Stream</h2>
      <Stats stats={stats} />
      {status.stream_quality && <p className="detail">{status.stream_quality}.</p>}
      {status.streamer_last_error && (
        <p className="detail">Last error: {status.streamer_last_error}</p>
      )}
    </section>
  );
}

/** Training statistics of one worker. */
export function TrainingStats({ status }: { status: WorkerStatus }) {
  const stats: Stat[] = [
    {
      name: "Last return",
      value: formatNumber(status.episode_return),
      explanation: RETURNS.last,
    },
    { name: "Steps/s", value: formatNumber(status.steps_per_s) },
    { name: "Steps", value: formatCount(status.step) },
    { name: "Episodes", value: formatCount(status.episode) },
    { name: "Policy version", value: formatCount(status.policy_version) },
    {
      name: "Observation",
      value: formatResolution(status.pixel_obs_width, status.pixel_obs_height),
    },
    { name: "GPU", value: status.gpu_index === null ? "none" : String(status.gpu_index) },
    { name: "Uptime", value: formatDuration(status.uptime_s) },
  ];
  return (
    <section className="card" aria-labelledby="training">
      <h2 id="training">{status.mode === "train" ? "Training" : "Playing"}</h2>
      <Stats stats={stats} />
    </section>
  );
}

function targetFps({ stream_target_fps }: WorkerStatus): string {
  return stream_target_fps === null ? "" : ` of ${stream_target_fps}`;
}

/** Latency from the policy's step to this screen if known, else the player's distance from live. */
function latencyStat(stats: PlayerStats | null): Stat {
  const behindLive = formatLatency(stats?.behindLive);
  if (stats?.latency == null)
    return { name: "Behind live", value: behindLive, note: "buffered in this browser" };
  return {
    name: "Latency",
    value: formatLatency(stats.latency),
    note: `step to screen; ${behindLive} buffered`,
  };
}

function sessionName(
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

function usePlayerStats(player: LivePlayer | null): PlayerStats | null {
  const [stats, setStats] = useState<PlayerStats | null>(null);
  useEffect(() => {
    if (!player) return;
    const timer = setInterval(() => setStats(player.stats), INTERVAL_MS);
    return () => clearInterval(timer);
  }, [player]);
  return stats;
}
