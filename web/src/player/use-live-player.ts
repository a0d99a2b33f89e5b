import { type RefObject, useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { LivePlayer } from "./live-player";
import { CONNECTING, type PlayerView } from "./machine";

/** A player on the given elements for as long as they are mounted. */
export function useLivePlayer(
  video: RefObject<HTMLVideoElement | null>,
  still: RefObject<HTMLCanvasElement | null>,
  address: string,
  watched: boolean,
): PlayerView & { play: () => void } {
  const [player, setPlayer] = useState<LivePlayer | null>(null);

  useEffect(() => {
    if (!video.current || !still.current) return;
    const created = new LivePlayer(video.current, still.current, address);
    setPlayer(created);
    return () => {
      created.close();
      setPlayer(null);
    };
  }, [video, still, address]);

  useEffect(() => player?.setWatched(watched), [player, watched]);

  const subscribe = useCallback(
    (listener: () => void) => player?.subscribe(listener) ?? (() => {}),
    [player],
  );
  const view = useSyncExternalStore(subscribe, () => player?.view ?? CONNECTING);
  const play = useCallback(() => player?.play(), [player]);
  return { ...view, play };
}
