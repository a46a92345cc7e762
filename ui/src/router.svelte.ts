/** Hash routing: `#/fleet`, `#/endpoint/3/health`, `#/connect`, `#/timeline`, `#/audit`, `#/settings`. */

/** Tabs of an endpoint. */
export const TABS = ["health", "accuracy", "explain", "versions", "settings"] as const;
/** One tab. */
export type Tab = (typeof TABS)[number];

/** Where the window stands. */
export type Route =
  | { screen: "fleet" }
  | { screen: "endpoint"; id: number; tab: Tab }
  | { screen: "connect" }
  | { screen: "timeline" }
  | { screen: "audit" }
  | { screen: "settings" };

/** Reads a location hash; what it does not know is the fleet. */
export function parseRoute(hash: string): Route {
  const [screen, id, tab] = hash.replace(/^#?\/?/, "").split("/");
  if (screen === "connect" || screen === "timeline" || screen === "audit" || screen === "settings") return { screen };
  if (screen === "endpoint" && id !== undefined && /^\d+$/.test(id)) {
    const known = TABS.find((name) => name === tab);
    return { screen, id: Number(id), tab: known ?? "health" };
  }
  return { screen: "fleet" };
}

/** Writes a route as a location hash. */
export function routeHash(route: Route): string {
  return route.screen === "endpoint" ? `#/endpoint/${route.id}/${route.tab}` : `#/${route.screen}`;
}

/** Follows the location and changes it. */
export class Router {
  /** Where the window stands. */
  route = $state.raw<Route>({ screen: "fleet" });

  /** Starts to follow `window.location`; answers a function that stops. */
  start(): () => void {
    const read = (): void => {
      this.route = parseRoute(window.location.hash);
    };
    read();
    window.addEventListener("hashchange", read);
    return () => window.removeEventListener("hashchange", read);
  }

  /** Goes to a route. */
  go(route: Route): void {
    // Set at once, so that nothing has to wait for the event.
    this.route = route;
    window.location.hash = routeHash(route);
  }

  /** Opens an endpoint. */
  open(id: number, tab: Tab = "health"): void {
    this.go({ screen: "endpoint", id, tab });
  }
}
