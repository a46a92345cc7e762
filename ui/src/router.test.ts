import { describe, expect, it } from "vitest";
import { parseRoute, routeHash, type Route } from "./router.svelte";

describe("routes", () => {
  const known: [string, Route][] = [
    ["#/fleet", { screen: "fleet" }],
    ["#/endpoint/3/health", { screen: "endpoint", id: 3, tab: "health" }],
    ["#/endpoint/12/explain", { screen: "endpoint", id: 12, tab: "explain" }],
    ["#/connect", { screen: "connect" }],
    ["#/timeline", { screen: "timeline" }],
    ["#/audit", { screen: "audit" }],
    ["#/settings", { screen: "settings" }],
  ];
  it.each(known)("%s is read and written", (hash, route) => {
    expect(parseRoute(hash)).toEqual(route);
    expect(routeHash(route)).toBe(hash);
  });
  it.each(["", "#", "#/", "#/nothing", "#/endpoint", "#/endpoint/x/health", "#/endpoint/-1", "javascript:alert(1)"])("%s is the fleet", (hash) => {
    expect(parseRoute(hash)).toEqual({ screen: "fleet" });
  });
  it("an unknown tab is health", () => {
    expect(parseRoute("#/endpoint/3/nothing")).toEqual({ screen: "endpoint", id: 3, tab: "health" });
  });
});
