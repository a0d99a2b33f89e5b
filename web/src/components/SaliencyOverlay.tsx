import { useEffect, useRef } from "react";
import type { LivePlayer } from "../player/live-player";
import { drawHeat } from "../player/saliency";
import { useMind } from "../player/use-mind";
import { share } from "./format";

const WIDTH = 320;

/** Where the network looks, laid softly over the picture. */
export function HeatMap({ player }: { player: LivePlayer }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { attention } = useMind(player.mind);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    // The shape of the picture, so that both are fitted into the frame in the same way.
    element.width = WIDTH;
    element.height = Math.round(WIDTH / player.aspect);
    if (attention) drawHeat(element, attention);
  }, [attention, player]);

  return (
    <>
      <canvas ref={canvas} className="heat" role="img" aria-label="Where the network looks" />
      <p className="heat-words">
        {attention
          ? `Where the network looks; ${share(attention.cost)} of a core`
          : "Asking the worker where its network looks"}
      </p>
    </>
  );
}
