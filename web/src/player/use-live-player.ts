import {
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { takeEarly } from "./early-player";
import { LivePlayer, type StreamUrls } from "./live-player";
import { CONNECTING, type PlayerStatus } from "./player-state";

/**
 * Run a player in the given element for as long as it is mounted.
 *
 * @param label of the video, for screen readers
 * @param stillWidth of the pictures that are shown without video, pixels; null: none are
 */
export function useLivePlayer(
  root: RefObject<HTMLElement | null>,
  label: string,
  { socket, whep, hasVideo }: StreamUrls,
  visible: boolean,
  stillWidth: number | null,
): { player: LivePlayer | null; status: PlayerStatus; still: string | null } {
  const [player, setPlayer] = useState<LivePlayer | null>(null);
  const initialUrls = useRef({ socket, whep, hasVideo });

  // Before the first paint, which may then have a picture.
  useLayoutEffect(() => {
    if (!root.current) return;
    const urls = initialUrls.current;
    const created = takeEarly(urls.socket) ?? new LivePlayer(urls);
    created.mount(root.current);
    setPlayer(created);
    return () => {
      created.close();
      setPlayer(null);
    };
  }, [root]);

  useEffect(() => player?.setLabel(label), [player, label]);

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
