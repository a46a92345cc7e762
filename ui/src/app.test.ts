import { describe, expect, it } from "vitest";
import { App } from "./app.svelte";
import { fixtureBackend } from "./backend/fixture/fixture";

describe("chart colours", () => {
  it("are read from the theme in force, also before the window has repainted", () => {
    const style = document.createElement("style");
    style.textContent = ":root[data-theme=light] { --chart-ink: #111111 } :root[data-theme=dark] { --chart-ink: #eeeeee }";
    document.head.append(style);
    const app = new App(fixtureBackend());
    app.themeChoice = "light";
    expect(app.chartTheme().ink).toBe("#111111");
    app.themeChoice = "dark";
    expect(app.chartTheme().ink).toBe("#eeeeee");
    style.remove();
  });
});
