/** Show the video within an element above all windows, or end that. */
export async function togglePictureInPicture(root: HTMLElement | null): Promise<void> {
  if (document.pictureInPictureElement) return document.exitPictureInPicture();
  const video = root?.querySelector("video");
  try {
    await video?.requestPictureInPicture();
  } catch (error) {
    // There is no video yet; anything else is a bug and belongs in the console.
    if (!(error instanceof DOMException)) throw error;
  }
}
