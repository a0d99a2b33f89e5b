/**
 * Call `onFrame` with the media time of every frame that a video element paints, until aborted;
 * a browser without frame callbacks is asked a few times a second.
 */
export function watchFrames(
  video: HTMLVideoElement,
  signal: AbortSignal,
  onFrame: (time: number) => void,
): void {
  if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
    video.addEventListener("timeupdate", () => onFrame(video.currentTime), { signal });
    return;
  }
  const callback: VideoFrameRequestCallback = (_, { mediaTime }) => {
    if (signal.aborted) return;
    onFrame(mediaTime);
    video.requestVideoFrameCallback(callback);
  };
  video.requestVideoFrameCallback(callback);
}
