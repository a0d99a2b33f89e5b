import { Route, Routes } from "react-router";
import { Layout } from "../components/Layout";
import { BroadcastPage } from "./BroadcastPage";
import { FleetPage } from "./FleetPage";
import { NotFoundPage } from "./NotFoundPage";
import { RunsPage } from "./RunsPage";
import { StreamPage } from "./StreamPage";

/** Which address shows which page. */
export function Pages() {
  return (
    <Routes>
      <Route element={<Layout />}>
        <Route index element={<FleetPage />} />
        <Route path="/stream" element={<StreamPage />} />
        <Route path="/neural/broadcast" element={<BroadcastPage />} />
        <Route path="/runs" element={<RunsPage />} />
        <Route path="*" element={<NotFoundPage />} />
      </Route>
    </Routes>
  );
}
