/// <reference types="vitest/config" />
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/**
 * The window is WebKitGTK, so the target is Safari 18; the port is the `devUrl` of tauri.conf.json. Nothing is inlined as a
 * data: URL except what the content security policy allows (images), so fonts stay files.
 */
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  clearScreen: false,
  resolve: {
    ...(mode === "test" ? { conditions: ["browser"] } : {}),
  },
  server: { port: 5173, strictPort: mode !== "fixture" },
  build: { outDir: "dist", emptyOutDir: true, target: ["safari18", "es2022"], assetsInlineLimit: 0, sourcemap: false },
  test: { environment: "jsdom", include: ["src/**/*.test.ts"], setupFiles: ["src/test/setup.ts"], testTimeout: 20_000 },
}));
