/** Well-formed messages for tests. */

import type {
  CurvePoint,
  Episode,
  Featured,
  Fleet,
  GuestStatus,
  PoolStatus,
  ReplaySaliency,
  ReplayTrack,
  RunSummary,
  SaliencyMessage,
  ThoughtMessage,
  WorkerStatus,
} from "../api/schema";

/** Make the status of a worker in standby that has just started. */
export function makeWorker(index: number, changes: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    instance_id: `omega-${index}`,
    worker_index: index,
    node: null,
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
    stream_target_fps: null,
    stream_quality: null,
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
    nvenc_note: null,
    nvenc_slot: null,
    step: 0,
    steps_per_s: 0,
    episode: 0,
    episode_return: null,
    policy_version: 0,
    kind: "fleet",
    guest: null,
    turns: {},
    ...changes,
  };
}

/** Make the status of a guest that plays an episode in standby. */
export function makeGuest(
  name: string,
  index: number,
  changes: Partial<Omit<WorkerStatus, "guest">> & { guest?: Partial<GuestStatus> } = {},
): WorkerStatus {
  const { guest, ...rest } = changes;
  return makeWorker(index, {
    instance_id: name,
    kind: "guest",
    game: "CartPole-v1",
    policy_version: null,
    steps_per_s: 1200,
    episode: 12,
    episode_return: 41,
    ...rest,
    guest: {
      trainer_pid: 4321,
      trainer_steps_per_s: 1200,
      episode_step: 7,
      episode_return: 7,
      drawn: "shadow",
      drawing_cost: null,
      note: null,
      ...guest,
    },
  });
}

/** Make what a hub reports: it trains nothing. */
export function makeHub(guests: WorkerStatus[], changes: Partial<Fleet> = {}): Fleet {
  return makeFleet(guests, { run: null, game: null, mode: null, ...changes });
}

export function makeFleet(workers: WorkerStatus[], changes: Partial<Fleet> = {}): Fleet {
  return {
    run: "first",
    game: "doom:defend_the_center",
    mode: "train",
    workers: Object.fromEntries(workers.map((worker) => [worker.instance_id, worker])),
    starting: {},
    pin: null,
    viewers: 0,
    learner: null,
    problems: [],
    nodes: [],
    go2rtc: null,
    ...changes,
  };
}

export function makeThought(time: number, changes: Partial<ThoughtMessage> = {}): ThoughtMessage {
  return {
    type: "thought",
    epoch: 1,
    time,
    action: 0,
    probabilities: [0.75, 0.25],
    value: 1.5,
    text: null,
    reward: 0,
    episode_return: 10,
    episode: 3,
    step: 120,
    decided_at: 1_790_000_000,
    ...changes,
  };
}

export function makeSaliency(time: number, cells: number[] = [0, 255]): SaliencyMessage {
  return {
    type: "saliency",
    epoch: 1,
    time,
    columns: cells.length,
    rows: 1,
    cells: btoa(String.fromCharCode(...cells)),
    cost: 0.014,
  };
}

export function makeReplaySaliency(
  time: number,
  changes: Partial<ReplaySaliency> = {},
): ReplaySaliency {
  const { columns, rows, cells } = makeSaliency(time);
  return { time, columns, rows, cells, ...changes };
}

export function makePool(changes: Partial<PoolStatus> = {}): PoolStatus {
  return {
    pool: "cpu",
    node: null,
    gpu_index: null,
    gpu_name: null,
    gpu_indices: [],
    used: 0,
    limit: 1,
    holders: [],
    note: null,
    ...changes,
  };
}

export function makeFeatured(live: string[], next: string | null = null): Featured {
  return { live, rotate_s: 30, next, next_in_s: next === null ? null : 12 };
}

export function makeRun(run: string, changes: Partial<RunSummary> = {}): RunSummary {
  return {
    run,
    game: "doom:basic",
    started_at: 1_790_000_000,
    updated_at: 1_790_000_600,
    episodes: 250,
    steps: 12_000,
    best_return: 95,
    recent_return: 70.5,
    current: false,
    notes: { title: "", note: "", tags: [], archived: false },
    ...changes,
  };
}

export function makeEpisode(episode: number, changes: Partial<Episode> = {}): Episode {
  return {
    id: episode,
    replayable: true,
    worker_index: 0,
    episode,
    total_reward: 10 * episode,
    length: 30,
    step: 30 * episode,
    policy_version: 4,
    ended_at: 1_790_000_000 + episode,
    ...changes,
  };
}

/** Make the track of an episode of three steps, 0.3 s long. */
export function makeTrack(changes: Partial<ReplayTrack> = {}): ReplayTrack {
  return {
    game: "doom:basic",
    tics_per_s: 35,
    duration_s: 0.3,
    actions: ["wait", "attack"],
    times: [0, 0.1, 0.2],
    chosen: [0, 1, 1],
    probabilities: [
      [0.75, 0.25],
      [0.5, 0.5],
      [0.25, 0.75],
    ],
    values: [0, 1, 2],
    rewards: [0, 0, 10],
    total_reward: 10,
    policy_version: 4,
    no_saliency: null,
    ...changes,
  };
}

export function makeCurve(...returns: number[]): CurvePoint[] {
  return returns.map((mean_return, i) => ({
    fleet_step: 100 * i,
    ended_at: 1_790_000_000 + i,
    mean_return,
    episodes: 1,
  }));
}
