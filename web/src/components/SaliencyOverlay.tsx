import { type ReactNode, useEffect, useRef } from "react";
import type { LivePlayer } from "../player/live-player";
import { drawSaliency, type SaliencyCells } from "../player/saliency";
import { usePolicyTrack } from "../player/use-policy-track";
import { formatFinePercent } from "./format";

const WIDTH_PX = 320;

interface SaliencyOverlayProps {
  /** Null while there is nothing to show. */
  saliency: SaliencyCells | null;
  /** Of the video, so that both are letterboxed alike. */
  aspectRatio: number;
  /** Name of the map for screen readers. */
  label?: string;
  /** Line about the map, or why there is none. */
  children: ReactNode;
}

/** Saliency map over the video: the regions that the chosen action depends on. */
export function SaliencyOverlay({
  saliency,
  aspectRatio,
  label = "Saliency map",
  children,
}: SaliencyOverlayProps) {
  const canvas = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    element.width = WIDTH_PX;
    element.height = Math.round(WIDTH_PX / aspectRatio);
    if (saliency) drawSaliency(element, saliency);
  }, [saliency, aspectRatio]);

  return (
    <>
      <canvas ref={canvas} className="saliency" role="img" aria-label={label} />
      <p className="saliency-label">{children}</p>
    </>
  );
}

/** Saliency overlay of a live stream. */
export function LiveSaliency({ player }: { player: LivePlayer }) {
  const { saliency } = usePolicyTrack(player.policyTrack);
  return (
    <SaliencyOverlay saliency={saliency} aspectRatio={player.aspectRatio}>
      {saliency
        ? `Saliency map: uses ${formatFinePercent(saliency.cost)} of a core`
        : "Waiting for the saliency map"}
    </SaliencyOverlay>
  );
}
