/** Keeps the videos of one replay page in step: one clock, and nobody runs ahead. */

/** What a video element reports; times in seconds. */
export interface VideoState {
  time: number;
  /** Length of its episode; the video ends there. */
  duration: number;
  /** Whether it can go on from where it is. */
  ready: boolean;
  seeking: boolean;
}

export interface VideoOrder {
  play: boolean;
  seekTo: number | null;
}

export interface Orders {
  /** One for each video. */
  videos: VideoOrder[];
  /** Whether all have played to their end. */
  ended: boolean;
  /** Whether one has to wait for its picture, and the others with it. */
  waiting: boolean;
}

/** Videos this far apart are seen to be; times the speed. */
export const TOLERANCE_S = 0.12;
/** The last frame begins this long before the end. */
const END_S = 0.02;

/** Return the index of the longest video, whose time is the clock of all. */
export function leaderOf(durations: readonly number[]): number {
  return durations.indexOf(Math.max(...durations));
}

/** Decide what each video does now; the shorter ones wait at their ends. */
export function stepTogether(
  videos: readonly VideoState[],
  wanted: { playing: boolean; speed: number },
): Orders {
  const leader = videos[leaderOf(videos.map(({ duration }) => duration))];
  if (!leader) return { videos: [], ended: false, waiting: false };
  const clock = leader.time;
  const atEnd = ({ duration }: VideoState) => clock >= duration - END_S;
  const ended = atEnd(leader);
  const waiting = videos.some((video) => !atEnd(video) && !video.ready);
  const play = wanted.playing && !waiting && !ended;
  // Whoever has ended shows its very end, however fast the others went past it.
  const tolerance = (video: VideoState) =>
    atEnd(video) ? 2 * END_S : TOLERANCE_S * Math.max(1, wanted.speed);
  return {
    videos: videos.map((video) => {
      const target = Math.min(clock, video.duration);
      const apart = video !== leader && Math.abs(video.time - target) > tolerance(video);
      return {
        play: play && !atEnd(video),
        seekTo: apart && !video.seeking ? target : null,
      };
    }),
    ended,
    waiting,
  };
}
