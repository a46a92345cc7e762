/** What every screen shares: the backend, the cache, where the window stands, its theme, its notices and its sheet. */
import { createContext } from "svelte";
import type { Backend, CommandName, Request, Response } from "./backend/backend";
import { toApiError } from "./backend/errors";
import type { ApiError, ChartTheme, Fleet, ThemeChoice } from "./backend/gen/types";
import { QueryCache } from "./cache/cache";
import { FLEET_KEY, FLEET_TAGS, fleetLoader } from "./cache/fleet";
import { createQuery, type Query } from "./cache/query.svelte";
import { Router } from "./router.svelte";

/** A short message at the foot of the window. */
export interface Notice {
  /** Identity. */
  id: number;
  /** How it is marked. */
  tone: "ok" | "warn" | "bad" | "info";
  /** What happened. */
  text: string;
  /** What to do next. */
  hint: string | null;
}

/** The rollback sheet, when open. */
export interface SheetState {
  /** Endpoint. */
  id: number;
  /** Version to bring back; `null`: the last good one. */
  to: string | null;
}

/** State of the window outside any screen. */
export class App {
  readonly cache: QueryCache;
  readonly router = new Router();
  /** What the person chose. */
  themeChoice = $state<ThemeChoice>("system");
  #systemDark = $state(false);
  notices = $state<Notice[]>([]);
  sheet = $state.raw<SheetState | null>(null);
  paletteOpen = $state(false);
  /** Runs started in this window, by endpoint: a closed sheet finds its run again. */
  runs = $state<Record<number, string>>({});
  #nextNotice = 1;
  #loadFleet = fleetLoader((request) => this.call("fleet", request));

  constructor(
    readonly backend: Backend,
    cache = new QueryCache(),
  ) {
    this.cache = cache;
  }

  /** The theme in force. */
  get theme(): "light" | "dark" {
    if (this.themeChoice !== "system") return this.themeChoice;
    return this.#systemDark ? "dark" : "light";
  }

  /** Follows the engine's stale tags, the location and the system's theme; answers a function that stops. */
  start(): () => void {
    const stops = [this.backend.onStale((tags) => this.cache.invalidate(tags)), this.router.start()];
    const dark = window.matchMedia?.("(prefers-color-scheme: dark)");
    if (dark) {
      const follow = (): void => {
        this.#systemDark = dark.matches;
      };
      follow();
      dark.addEventListener("change", follow);
      stops.push(() => dark.removeEventListener("change", follow));
    }
    return () => stops.forEach((stop) => stop());
  }

  /** Runs a command. */
  call<K extends CommandName>(name: K, request: Request<K>): Promise<Response<K>> {
    // Forms hand over reactive proxies; what goes out is a plain copy of this moment.
    return this.backend.call(name, $state.snapshot(request) as Request<K>);
  }

  /** Watches a command's answer. */
  query<K extends CommandName>(
    name: K,
    spec: () => { request: Request<K> | (() => Request<K>); key?: string; tags: string[] } | undefined,
    options: { keep?: boolean } = {},
  ): Query<Response<K>> {
    return createQuery<Response<K>>(
      this.cache,
      () => {
        const wanted = spec();
        if (!wanted) return undefined;
        const { request, key, tags } = wanted;
        return {
          key: `${name} ${key ?? JSON.stringify(request)}`,
          tags,
          load: () => this.call(name, typeof request === "function" ? request() : request),
        };
      },
      options,
    );
  }

  /** Watches the fleet. It is whole at each answer, although only what changed travels. */
  fleet(): Query<Fleet> {
    return createQuery<Fleet>(this.cache, () => ({ key: FLEET_KEY, tags: FLEET_TAGS, load: this.#loadFleet }));
  }

  /** Runs a command that changes something; a failure becomes a notice. Answers `undefined` then. */
  async change<K extends CommandName>(
    name: K,
    request: Request<K>,
    touched: string[] = [],
  ): Promise<Response<K> | undefined> {
    try {
      const answer = await this.call(name, request);
      this.cache.invalidate(touched);
      return answer;
    } catch (thrown) {
      this.fail(toApiError(thrown));
      return undefined;
    }
  }

  /** Shows a notice for some seconds. */
  say(text: string, tone: Notice["tone"] = "ok", hint: string | null = null): void {
    const id = this.#nextNotice++;
    this.notices = [...this.notices.slice(-3), { id, tone, text, hint }];
    setTimeout(() => this.dismiss(id), tone === "bad" ? 12_000 : 5000);
  }

  /** Shows a failure. */
  fail(error: ApiError): void {
    this.say(error.message, "bad", error.hint);
  }

  /** Takes a notice away. */
  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  /** Opens the rollback sheet. */
  rollBack(id: number, to: string | null = null): void {
    this.sheet = { id, to };
  }

  /** Changes the theme now and for the next start. */
  async chooseTheme(theme: ThemeChoice): Promise<void> {
    this.themeChoice = theme;
    try {
      const view = await this.backend.call("settings", {});
      await this.backend.call("settings_set", { ...view.settings, theme });
      this.cache.invalidate(["settings"]);
    } catch (thrown) {
      this.fail(toApiError(thrown));
    }
  }

  /** The colours of the theme in force, for charts. */
  chartTheme(background = false): ChartTheme {
    // A caller inside an effect follows the theme, and may come before the effect that puts the theme on the document: its
    // colours would be those of the theme before.
    document.documentElement.dataset.theme = this.theme;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(`--chart-${name}`).trim() || "#808080";
    return {
      ink: colour("ink"),
      muted: colour("muted"),
      grid: colour("grid"),
      accent: colour("accent"),
      ok: colour("ok"),
      warn: colour("warn"),
      bad: colour("bad"),
      unknown: colour("unknown"),
      band: colour("band"),
      background: background ? colour("background") : null,
    };
  }
}

/** The window's state within components. */
export const [useApp, provideApp] = createContext<App>();
