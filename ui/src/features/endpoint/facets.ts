/** How the facets of health are shown. */
import type { Shape } from "../../shared/tones";

const SHAPES: Record<string, Shape> = { ok: "ok", failed: "bad" };
const WORDS: Record<string, string> = { ok: "Yes", failed: "No", not_offered: "Not told", not_asked: "Not asked", unknown: "Cannot say" };

/** The shape of a facet's state; an empty ring for everything that is no answer. */
export const facetShape = (state: string): Shape => SHAPES[state] ?? "unknown";

/** A facet's state in words. */
export const facetWord = (state: string): string => WORDS[state] ?? state;
