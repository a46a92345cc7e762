/** A form for one row of a model's inputs: which fields it has, and when what was typed fits them. */
import type { TensorField } from "../../backend/gen/types";

/** More fields than this are no form any more; then rows are pasted. */
export const MOST_FIELDS = 40;

/** What a field takes. */
export type FieldKind = "number" | "integer" | "boolean" | "text";

/** One field of the form. */
export interface RowField {
  /** The column's name. */
  name: string;
  kind: FieldKind;
  /** The server's word for the type. */
  datatype: string;
  optional: boolean;
}

const KINDS: [RegExp, FieldKind][] = [
  [/^(U?INT\d*|integer|long|short|byte)$/i, "integer"],
  [/^(FP\d+|BF16|float\d*|double|number)$/i, "number"],
  [/^bool(ean)?$/i, "boolean"],
];

/** What a data type takes; anything unknown is text. */
export const kindOf = (datatype: string): FieldKind => KINDS.find(([pattern]) => pattern.test(datatype))?.[1] ?? "text";

/** Values per row: 1, more, or unknown (`null`). The first dimension counts rows. */
function width(shape: number[]): number | null {
  const perRow = shape.slice(1);
  return perRow.some((size) => size < 0) ? null : perRow.reduce((product, size) => product * size, 1);
}

/** The fields of a form for these inputs, or `null` where a form would not help. */
export function fieldsOf(inputs: TensorField[]): RowField[] | null {
  const field = (input: TensorField, name: string): RowField => ({ name, kind: kindOf(input.datatype), datatype: input.datatype, optional: input.optional });
  const only = inputs.length === 1 ? inputs[0] : undefined;
  const columns = only ? width(only.shape) : null;
  if (only && columns !== null && columns > 1) {
    // A matrix: its columns have no names of their own.
    return columns <= MOST_FIELDS ? Array.from({ length: columns }, (_, i) => field(only, `x${i + 1}`)) : null;
  }
  const single = inputs.length > 0 && inputs.length <= MOST_FIELDS && inputs.every((input) => width(input.shape) === 1);
  const names = inputs.map((input) => input.name || "x1");
  return single && new Set(names).size === names.length ? inputs.map((input, i) => field(input, names[i] ?? "")) : null;
}

/** What is wrong with the text of a field; `null` when it fits. */
export function problemOf(field: RowField, text: string): string | null {
  const typed = text.trim();
  if (typed === "") return field.optional ? null : "needs a value";
  if (field.kind === "integer") return /^[+-]?\d+$/.test(typed) && Number.isSafeInteger(Number(typed)) ? null : "takes a whole number";
  if (field.kind === "number") return Number.isFinite(Number(typed)) ? null : "takes a number";
  if (field.kind === "boolean") return /^(true|false|0|1)$/i.test(typed) ? null : "takes true or false";
  return null;
}

/** The row as the JSON text of a draft; `null` while something does not fit. */
export function rowText(fields: RowField[], typed: Record<string, string>): string | null {
  const row: Record<string, number | string> = {};
  for (const field of fields) {
    const text = typed[field.name] ?? "";
    if (problemOf(field, text) !== null) return null;
    const value = text.trim();
    if (value === "" && field.kind !== "text") continue;
    if (value === "" && field.optional) continue;
    row[field.name] = field.kind === "text" ? text : field.kind === "boolean" ? (/^(true|1)$/i.test(value) ? 1 : 0) : Number(value);
  }
  return JSON.stringify([row]);
}

/** What stands in a draft's rows, as text per field, when it is one row of these fields; else `null`. */
export function typedFrom(fields: RowField[], rows: string | null): Record<string, string> | null {
  if (rows === null) return {};
  try {
    const parsed: unknown = JSON.parse(rows);
    if (!Array.isArray(parsed) || parsed.length !== 1 || typeof parsed[0] !== "object" || parsed[0] === null) return null;
    const row = parsed[0] as Record<string, unknown>;
    const known = new Set(fields.map((field) => field.name));
    if (!Object.keys(row).every((name) => known.has(name))) return null;
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value === null ? "" : String(value)]));
  } catch {
    return null;
  }
}
