import { useEffect, useRef } from "react";
import type { LivePlayer } from "../player/live-player";
import { usePolicyTrack } from "../player/policy-track";
import { drawSaliency } from "../player/saliency";
import { formatFinePercent } from "./format";

const WIDTH_PX = 320;

/** Saliency map over the video: the regions that the chosen action depends on. */
export function SaliencyOverlay({ player }: { player: LivePlayer }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { saliency } = usePolicyTrack(player.policyTrack);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    // The same aspect ratio as the video, so that both are letterboxed alike.
    element.width = WIDTH_PX;
    element.height = Math.round(WIDTH_PX / player.aspectRatio);
    if (saliency) drawSaliency(element, saliency);
  }, [saliency, player]);

  return (
    <>
      <canvas ref={canvas} className="saliency" role="img" aria-label="Saliency map" />
      <p className="saliency-label">
        {saliency
          ? `Saliency map: uses ${formatFinePercent(saliency.cost)} of a core`
          : "Waiting for the saliency map"}
      </p>
    </>
  );
}
