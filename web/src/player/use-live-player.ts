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

/**
 * Run a player on the given elements for as long as they are mounted.
 *
 * @param stillWidth of the pictures that are shown without video, pixels; null: none are
 */
export function useLivePlayer(
  video: RefObject<HTMLVideoElement | null>,
  lastFrame: RefObject<HTMLCanvasElement | null>,
  { socket, whep, hasVideo }: StreamUrls,
  visible: boolean,
  stillWidth: number | null,
): { player: LivePlayer | null; status: PlayerStatus; still: string | null } {
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const initialUrls = useRef({ socket, whep, hasVideo });

  useEffect(() => {
    if (!video.current || !lastFrame.current) return;
    const created = new LivePlayer(video.current, lastFrame.current, initialUrls.current);
    setPlayer(created);
    return () => {
      created.close();
      setPlayer(null);
    };
  }, [video, lastFrame]);

  useEffect(() => player?.setUrls({ socket, whep, hasVideo }), [player, socket, whep, hasVideo]);

  useEffect(() => player?.setStillWidth(stillWidth), [player, stillWidth]);

  useEffect(() => player?.setVisible(visible), [player, visible]);

  const subscribe = useCallback(
    (listener: () => void) => player?.subscribe(listener) ?? (() => {}),
    [player],
  );
  const status = useSyncExternalStore(subscribe, () => player?.status ?? CONNECTING);
  const still = useSyncExternalStore(subscribe, () => player?.still ?? null);
  return { player, status, still };
}
