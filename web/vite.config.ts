/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Have the browser load the page itself beside its entry, which asks for video meanwhile. */
function preloadRoot(): Plugin {
  return {
    name: "preload-root",
    transformIndexHtml: {
      order: "post",
      handler(_, { bundle, filename }) {
        if (!filename.endsWith("/index.html")) return [];
        const chunks = Object.values(bundle ?? {}).filter((output) => output.type === "chunk");
        const root = chunks.find(({ facadeModuleId }) => facadeModuleId?.endsWith("/src/root.tsx"));
        const files = new Set(root ? [root.fileName] : []);
        // A set that grows is walked to its end: what is imported imports others.
        for (const file of files)
          for (const needed of chunks.find(({ fileName }) => fileName === file)?.imports ?? [])
            files.add(needed);
        return [...files].map((file) => ({
          tag: "link",
          attrs: { rel: "modulepreload", crossorigin: true, href: `/${file}` },
          injectTo: "head",
        }));
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), preloadRoot()],
  build: {
    outDir: "../src/metabonk/orchestrator/page",
    emptyOutDir: true,
    rolldownOptions: { input: ["index.html", "embed.html"] },
  },
  // What a script loads later is found beside it, under whatever path a proxy serves the page.
  experimental: {
    renderBuiltUrl: (_, { hostType }) => (hostType === "js" ? { relative: true } : undefined),
  },
  // `npm run dev` shows the fleet running on this machine.
  server: {
    port: 5174,
    proxy: { "/api": { target: "http://127.0.0.1:5173", ws: true } },
  },
  test: {
    pool: "threads",
    // On a busy machine, where a component test may take as long as ten do elsewhere.
    testTimeout: 30_000,
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
        test: {
          name: "components",
          environment: "happy-dom",
          include: ["src/**/*.test.tsx"],
          setupFiles: "src/testing/patience.ts",
        },
      },
    ],
  },
});
