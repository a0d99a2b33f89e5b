import { lazy, Suspense } from "react";
import { Route, Routes } from "react-router";
import { Layout } from "./components/Layout";
import { BroadcastPage } from "./pages/BroadcastPage";
import { FleetPage } from "./pages/FleetPage";
import { WallPage } from "./pages/WallPage";

// What the first page does not need is loaded when it is opened.
const StreamPage = lazy(() =>
  import("./pages/StreamPage").then((page) => ({ default: page.StreamPage })),
);
const RunsPage = lazy(() =>
  import("./pages/RunsPage").then((page) => ({ default: page.RunsPage })),
);
const ReplayPage = lazy(() =>
  import("./pages/ReplayPage").then((page) => ({ default: page.ReplayPage })),
);
const NotFoundPage = lazy(() =>
  import("./pages/NotFoundPage").then((page) => ({ default: page.NotFoundPage })),
);

/** Routes of the page. */
export function App() {
  return (
    <Suspense>
      <Routes>
        <Route element={<Layout />}>
          <Route index element={<FleetPage />} />
          <Route path="/stream" element={<StreamPage />} />
          <Route path="/neural/broadcast" element={<BroadcastPage />} />
          <Route path="/wall" element={<WallPage />} />
          <Route path="/replay" element={<ReplayPage />} />
          <Route path="/runs" element={<RunsPage />} />
          <Route path="*" element={<NotFoundPage />} />
        </Route>
      </Routes>
    </Suspense>
  );
}
