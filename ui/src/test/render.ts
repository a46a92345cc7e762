/** The whole window on the fixture backend, for tests. */
import { render } from "@testing-library/svelte";
import axe from "axe-core";
import { App } from "../app.svelte";
import { QueryCache } from "../cache/cache";
import { fixtureBackend, type FixtureBackend, type FixtureOptions } from "../backend/fixture/fixture";
import { fleetView } from "../features/fleet/view.svelte";
import Root from "../Root.svelte";

/** A started window. */
export interface Started {
  app: App;
  backend: FixtureBackend;
}

/** Starts the window at a location. */
export function start(hash = "#/fleet", options: FixtureOptions = {}): Started {
  fleetView.clear();
  window.location.hash = hash;
  const backend = fixtureBackend(options);
  const app = new App(backend, new QueryCache(0));
  render(Root, { props: { app } });
  return { app, backend };
}

/** Rules of axe broken by what is on view; contrast needs a real layout and is looked at in a browser. */
export async function axeFindings(): Promise<string[]> {
  const result = await axe.run(document.body, { rules: { "color-contrast": { enabled: false }, region: { enabled: false } } });
  return result.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

/** How often a command was called. */
export const callsOf = (backend: FixtureBackend, name: string): unknown[] => backend.calls.filter((call) => call.name === name).map((call) => call.request);
