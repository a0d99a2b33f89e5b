/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/metabonk/orchestrator/page",
    emptyOutDir: true,
  },
  // `npm run dev` shows the fleet running on this machine.
  server: {
    port: 5174,
    proxy: { "/api": { target: "http://127.0.0.1:5173", ws: true } },
  },
  test: {
    pool: "threads",
    restoreMocks: true,
    unstubGlobals: true,
    // Opening a DOM for a file takes a second, and most logic needs none. A file that does says so
    // itself: `// @vitest-environment happy-dom`.
    projects: [
      {
        extends: true,
        test: { name: "logic", environment: "node", include: ["src/**/*.test.ts"] },
      },
      {
        extends: true,
        test: { name: "components", environment: "happy-dom", include: ["src/**/*.test.tsx"] },
      },
    ],
  },
});
