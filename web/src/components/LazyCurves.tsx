/** Plots, whose library is loaded once there is something to plot. */

import { type ComponentProps, lazy, Suspense } from "react";

const Loaded = lazy(() =>
  import("./LearningCurve").then((curves) => ({ default: curves.LearningCurve })),
);

export function LearningCurve(props: ComponentProps<typeof Loaded>) {
  return (
    <Suspense fallback={<p className="empty">Loading the plot…</p>}>
      <Loaded {...props} />
    </Suspense>
  );
}
