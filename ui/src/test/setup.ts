/** What jsdom lacks and the screens need. */
import { cleanup } from "@testing-library/svelte";
import { afterEach, vi } from "vitest";

class NoResizeObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
vi.stubGlobal("ResizeObserver", NoResizeObserver);

// jsdom lays nothing out: give elements the size of the smallest window that the screens are made for.
Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 1000 });
Object.defineProperty(HTMLElement.prototype, "clientHeight", { configurable: true, get: () => 720 });
Element.prototype.scrollIntoView = () => undefined;
Element.prototype.animate ??= () => ({ cancel: () => undefined, finished: Promise.resolve() }) as unknown as Animation;
// axe asks for a canvas to look at icon fonts; there is none.
HTMLCanvasElement.prototype.getContext = () => null;
HTMLImageElement.prototype.decode = () => Promise.resolve();
window.matchMedia = (query: string) =>
  ({ matches: query.includes("dark"), media: query, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as MediaQueryList;
URL.createObjectURL = () => `blob:test/${Math.random()}`;
URL.revokeObjectURL = () => undefined;

afterEach(() => {
  cleanup();
  window.location.hash = "";
});
