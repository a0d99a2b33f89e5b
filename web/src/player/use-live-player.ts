import {
  type RefObject,
  useCallback,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { LivePlayer, type StreamUrls } from "./live-player";
import { CONNECTING, type PlayerStatus } from "./player-state";

/** Run a player on the given elements for as long as they are mounted. */
export function useLivePlayer(
  video: RefObject<HTMLVideoElement | null>,
  lastFrame: RefObject<HTMLCanvasElement | null>,
  { socket, whep }: StreamUrls,
  visible: boolean,
): { player: LivePlayer | null; status: PlayerStatus } {
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const initialUrls = useRef({ socket, whep });

  useEffect(() => {
    if (!video.current || !lastFrame.current) return;
    const created = new LivePlayer(video.current, lastFrame.current, initialUrls.current);
    setPlayer(created);
    return () => {
      created.close();
      setPlayer(null);
    };
  }, [video, lastFrame]);

  useEffect(() => player?.setUrls({ socket, whep }), [player, socket, whep]);

  useEffect(() => player?.setVisible(visible), [player, visible]);

  const subscribe = useCallback(
    (listener: () => void) => player?.subscribe(listener) ?? (() => {}),
    [player],
  );
  const status = useSyncExternalStore(subscribe, () => player?.status ?? CONNECTING);
  return { player, status };
}
