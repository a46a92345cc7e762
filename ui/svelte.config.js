import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

/** Svelte options shared by Vite, Vitest and svelte-check. */
export default { preprocess: vitePreprocess(), compilerOptions: { runes: true } };
