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
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    unstubGlobals: true,
  },
});
