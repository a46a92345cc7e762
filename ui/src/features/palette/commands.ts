/** Every action of the window by name, for the command palette. */
import type { App } from "../../app.svelte";
import type { Fleet } from "../../backend/gen/types";
import { protocolName, versionLabel } from "../../shared/format";
import type { Shape } from "../../shared/tones";
import { HEALTH_SHAPE } from "../../shared/tones";
import { FAULTS, evaluateNow, injectFault, probeNow, setPaused } from "../actions";

/** One action. */
export interface PaletteCommand {
  /** Identity. */
  id: string;
  /** What it does. */
  label: string;
  /** Further words it is found by. */
  words: string;
  /** Beside the label. */
  note: string;
  /** A state to show. */
  shape?: Shape;
  run: () => unknown;
}

/** Actions under a heading. */
export interface PaletteGroup {
  heading: string;
  commands: PaletteCommand[];
}

/** Every action that the present fleet allows. */
export function paletteGroups(app: App, fleet: Fleet | undefined): PaletteGroup[] {
  const rows = fleet?.endpoints ?? [];
  const command = (id: string, label: string, run: () => unknown, more: Partial<PaletteCommand> = {}): PaletteCommand => ({ id, label, words: "", note: "", run, ...more });
  const groups: PaletteGroup[] = [
    {
      heading: "Endpoints",
      commands: rows.map((row) =>
        command(`open-${row.id}`, row.name, () => app.router.open(row.id), {
          words: `open ${row.environment} ${row.protocol} ${row.model ?? ""}`,
          note: `${row.environment} · ${protocolName(row.protocol)} · ${versionLabel(row.version)}`,
          shape: HEALTH_SHAPE[row.health],
        }),
      ),
    },
    {
      heading: "Actions",
      commands: rows.flatMap((row) => [
        ...(row.can_roll_back
          ? [command(`rollback-${row.id}`, `Roll back ${row.name}…`, () => app.rollBack(row.id), { words: "rollback undo version", note: row.previous_good ? `to ${versionLabel(row.previous_good)}` : "" })]
          : []),
        command(`explain-${row.id}`, `Explain ${row.name}`, () => app.router.open(row.id, "explain"), { words: "why shapley waterfall" }),
        command(`accuracy-${row.id}`, `Accuracy of ${row.name}`, () => app.router.open(row.id, "accuracy"), { words: "quality golden set" }),
        command(`versions-${row.id}`, `Versions of ${row.name}`, () => app.router.open(row.id, "versions")),
        command(`settings-${row.id}`, `Settings of ${row.name}`, () => app.router.open(row.id, "settings"), { words: "edit remove" }),
        command(`probe-${row.id}`, `Probe ${row.name} now`, () => probeNow(app, row), { words: "check" }),
        ...(row.quality ? [command(`evaluate-${row.id}`, `Evaluate ${row.name} now`, () => evaluateNow(app, row), { words: "golden set accuracy" })] : []),
        row.health === "paused"
          ? command(`pause-${row.id}`, `Resume ${row.name}`, () => setPaused(app, row, false))
          : command(`pause-${row.id}`, `Pause ${row.name}`, () => setPaused(app, row, true), { words: "stop silence" }),
      ]),
    },
    {
      heading: "Demo fleet",
      commands: fleet?.demo
        ? fleet.demo.models.flatMap((model) =>
            FAULTS.filter(({ fault }) => (fault !== "version_defect" || model.has_defect) && fault !== model.fault).map(({ fault, label }) =>
              command(`fault-${model.name}-${fault}`, fault === "none" ? `Clear the fault of ${model.name}` : `${label}: ${model.name}`, () => injectFault(app, model.name, fault), { words: "inject demo fault break" }),
            ),
          )
        : [command("demo-start", "Start the demo fleet", () => app.change("demo_start", {}, ["fleet", "demo"]))],
    },
    {
      heading: "Go to",
      commands: [
        command("go-fleet", "Fleet", () => app.router.go({ screen: "fleet" })),
        command("go-timeline", "Timeline", () => app.router.go({ screen: "timeline" })),
        command("go-audit", "Audit", () => app.router.go({ screen: "audit" })),
        command("go-settings", "Settings", () => app.router.go({ screen: "settings" }), { words: "secrets retention theme" }),
        command("go-connect", "Connect an endpoint", () => app.router.go({ screen: "connect" }), { words: "add new url" }),
      ],
    },
    {
      heading: "Theme",
      commands: (["light", "dark", "system"] as const).map((theme) => command(`theme-${theme}`, `Theme: ${theme}`, () => app.chooseTheme(theme), { words: "colour appearance" })),
    },
  ];
  return groups.filter((group) => group.commands.length > 0);
}

/** The groups that match what was typed, at most `limit` commands of each: every word must begin or stand within. */
export function filterGroups(groups: readonly PaletteGroup[], text: string, limit = 8): PaletteGroup[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const score = (command: PaletteCommand): number => {
    const label = command.label.toLowerCase();
    const all = `${label} ${command.words.toLowerCase()}`;
    if (!words.every((word) => all.includes(word))) return -1;
    return words.reduce((sum, word) => sum + (label.startsWith(word) ? 3 : label.includes(` ${word}`) ? 2 : label.includes(word) ? 1 : 0), 0);
  };
  return groups
    .map((group) => ({
      heading: group.heading,
      commands: group.commands
        .map((command) => ({ command, points: score(command) }))
        .filter(({ points }) => points >= 0)
        .sort((a, b) => b.points - a.points)
        .slice(0, limit)
        .map(({ command }) => command),
    }))
    .filter((group) => group.commands.length > 0);
}
