import { Route, Routes } from "react-router";
import { Layout } from "./components/Layout";
import { BroadcastPage } from "./pages/BroadcastPage";
import { FleetPage } from "./pages/FleetPage";
import { NotFoundPage } from "./pages/NotFoundPage";
import { ReplayPage } from "./pages/ReplayPage";
import { RunsPage } from "./pages/RunsPage";
import { StreamPage } from "./pages/StreamPage";

/** Routes of the page. */
export function App() {
  return (
    <Routes>
      <Route element={<Layout />}>
        <Route index element={<FleetPage />} />
        <Route path="/stream" element={<StreamPage />} />
        <Route path="/neural/broadcast" element={<BroadcastPage />} />
        <Route path="/replay" element={<ReplayPage />} />
        <Route path="/runs" element={<RunsPage />} />
        <Route path="*" element={<NotFoundPage />} />
      </Route>
    </Routes>
  );
}
