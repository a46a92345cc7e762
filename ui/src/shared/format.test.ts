import { describe, expect, it } from "vitest";
import { availability, bytes, duration, fixed, percent, plural, pValue, relativeTime, signed, significant, span, versionLabel } from "./format";
import { csv, fileName } from "./export";

const table = <I, O>(name: string, run: (input: I) => O, cases: [I, O][]): void => {
  describe(name, () => it.each(cases)("%j → %j", (input, expected) => expect(run(input)).toBe(expected)));
};

table("duration", duration, [
  [null, "–"], [0, "0.00 ms"], [410, "0.41 ms"], [4200, "4.2 ms"], [9999, "10.0 ms"], [38_400, "38 ms"], [999_400, "999 ms"], [1_240_000, "1.24 s"], [12_400_000, "12.4 s"], [125_000_000, "2 min"],
]);
table("span", span, [[400, "0 s"], [59_000, "59 s"], [60_000, "1 min"], [3_599_000, "59 min"], [7_200_000, "2 h"], [9 * 86_400_000, "9 d"]]);
table("relativeTime", (at: number) => relativeTime(at, 1_000_000), [[1_000_000, "now"], [996_000, "4 s ago"], [820_000, "3 min ago"], [1_023_000, "in 23 s"]]);
table("fixed", (value: number | null) => fixed(value), [[null, "–"], [0.7123, "0.712"], [-0.061, "−0.061"], [-0.0001, "0.000"], [Number.NaN, "–"]]);
table("signed", (value: number) => signed(value), [[0.0144, "+0.014"], [-0.061, "−0.061"], [0, "0.000"], [0.0001, "0.000"]]);
table("significant", (value: number) => significant(value, 3), [[0.38765, "0.388"], [12.345, "12.3"], [1234.5, "1235"], [0.00012345, "0.000123"]]);
table("percent", (value: number | null) => percent(value), [[0, "0 %"], [1, "100 %"], [0.0458, "4.6 %"], [null, "–"]]);
// A failure among very many checks must never be rounded to 100 %.
table("availability", availability, [[1, "100 %"], [0.99999, "99.999 %"], [0.975, "97.50 %"]]);
table("bytes", bytes, [[0, "0 B"], [999, "999 B"], [18_430_000, "18.4 MB"], [2_500_000_000, "2.5 GB"]]);
table("pValue", pValue, [[0.0004, "p < 0.001"], [0.31, "p = 0.310"], [null, ""]]);
table("versionLabel", versionLabel, [["7", "v7"], ["v7", "v7"], ["champion", "champion"], [null, "–"], ["", "–"]]);
table("plural", (n: number) => plural(n, "row"), [[1, "1 row"], [0, "0 rows"], [3200, "3,200 rows"]]);
table("fileName", fileName, [["a/b ../c", "a-b-..-c"], ["credit-risk latency", "credit-risk-latency"]]);

describe("csv", () => {
  it("quotes what needs quotes and defuses formulas from endpoints", () => {
    expect(csv(["a", "b"], [['say "hi", now', "=HYPERLINK(1)"], [null, -3]])).toBe('a,b\r\n"say ""hi"", now",\'=HYPERLINK(1)\r\n,-3\r\n');
  });
});
