/** Well-formed answers for the tests to start from. */

import type { AttentionMessage, Fleet, ThoughtMessage, WorkerStatus } from "./schema";

/** A worker in standby that has just started. */
export function workerStatus(index: number, changes: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    instance_id: `omega-${index}`,
    worker_index: index,
    pid: 1000 + index,
    game: "doom:defend_the_center",
    mode: "train",
    gpu_index: null,
    uptime_s: 90,
    stream_url: `http://127.0.0.1:${5000 + index}/stream.mp4`,
    stream_enabled: true,
    stream_state: "standby",
    stream_backend: "",
    stream_error: null,
    streamer_last_error: null,
    stream_active_clients: 0,
    stream_dedicated_clients: 0,
    stream_fps: 0,
    stream_bitrate: 0,
    spectator_width: 256,
    spectator_height: 144,
    frames_ok: 0,
    frames_fps: 0,
    frames_dropped: 0,
    pixel_src_width: 256,
    pixel_src_height: 144,
    pixel_obs_width: 128,
    pixel_obs_height: 72,
    nvenc_used: null,
    nvenc_limit: null,
    nvenc_slot: null,
    step: 0,
    steps_per_s: 0,
    episode: 0,
    episode_return: null,
    policy_version: 0,
    ...changes,
  };
}

export function fleetOf(workers: WorkerStatus[], changes: Partial<Fleet> = {}): Fleet {
  return {
    run: "first",
    game: "doom:defend_the_center",
    mode: "train",
    workers: Object.fromEntries(workers.map((worker) => [worker.instance_id, worker])),
    learner: null,
    problems: [],
    ...changes,
  };
}

export function thoughtAt(time: number, changes: Partial<ThoughtMessage> = {}): ThoughtMessage {
  return {
    type: "thought",
    epoch: 1,
    time,
    action: 0,
    probabilities: [0.75, 0.25],
    value: 1.5,
    reward: 0,
    episode_return: 10,
    episode: 3,
    step: 120,
    ...changes,
  };
}

export function attentionAt(time: number, cells: number[] = [0, 255]): AttentionMessage {
  return {
    type: "attention",
    epoch: 1,
    time,
    columns: cells.length,
    rows: 1,
    cells: btoa(String.fromCharCode(...cells)),
  };
}
