import {
  type RefObject,
  useCallback,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { LivePlayer, type StreamAddresses } from "./live-player";
import { CONNECTING, type PlayerView } from "./player-state";

/** A player on the given elements for as long as they are mounted. */
export function useLivePlayer(
  video: RefObject<HTMLVideoElement | null>,
  still: RefObject<HTMLCanvasElement | null>,
  { socket, webRtc }: StreamAddresses,
  watched: boolean,
): { player: LivePlayer | null; view: PlayerView } {
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const joinedAt = useRef({ socket, webRtc });

  useEffect(() => {
    if (!video.current || !still.current) return;
    const created = new LivePlayer(video.current, still.current, joinedAt.current);
    setPlayer(created);
    return () => {
      created.close();
      setPlayer(null);
    };
  }, [video, still]);

  useEffect(() => player?.setAddresses({ socket, webRtc }), [player, socket, webRtc]);

  useEffect(() => player?.setWatched(watched), [player, watched]);

  const subscribe = useCallback(
    (listener: () => void) => player?.subscribe(listener) ?? (() => {}),
    [player],
  );
  const view = useSyncExternalStore(subscribe, () => player?.view ?? CONNECTING);
  return { player, view };
}
