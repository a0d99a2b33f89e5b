import { useEffect, useState } from "react";
import type { WorkerStatus } from "../api/schema";
import type { LivePlayer, PlayerFigures } from "../player/live-player";
import { type Figure, Figures } from "./Figures";
import { bitrate, count, duration, interval, MISSING, rate, size } from "./figures";

const INTERVAL_MS = 1_000;

interface StreamFiguresProps {
  status: WorkerStatus;
  /** This page's own, whose figures the worker can't know. */
  player: LivePlayer | null;
}

/** How the picture travels: what the worker sends and what this page makes of it. */
export function StreamFigures({ status, player }: StreamFiguresProps) {
  const seen = usePlayerFigures(player);
  const live = status.stream_state === "live";
  const figures: Figure[] = [
    {
      name: "Encoded FPS",
      value: rate(status.stream_fps),
      note: `${rate(status.frames_fps)} drawn${wantedOf(status)}`,
    },
    { name: "Bitrate", value: live ? bitrate(status.stream_bitrate) : MISSING },
    { name: "Behind live", value: live ? interval(seen?.behind) : MISSING, note: "in this player" },
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
    { name: "Session", value: sessionOf(status), note: status.stream_backend || undefined },
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

function sessionOf({ nvenc_slot, gpu_index, stream_backend }: WorkerStatus): string {
  if (nvenc_slot !== null) return `NVENC ${gpu_index ?? 0}, slot ${nvenc_slot}`;
  return stream_backend ? "software" : "none";
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
