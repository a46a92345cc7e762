//! Everything that is written: answers to standard output, notes and errors to standard error.
//!
//! What must stay true: with `--json`, standard output gets exactly one JSON document, also for an error; a reader that
//! closes the pipe early is no failure; what a server said cannot drive the terminal.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::failure::Failure;

/// How to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    /// Writes the answer: `document` with `--json`, else `text`.
    pub(crate) fn answer(self, document: &Value, text: impl FnOnce() -> String) {
        let text = if self.json { document_text(document) } else { harmless(text().trim_end()) };
        write_line(&mut std::io::stdout().lock(), &text);
    }

    /// Writes progress for a person.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            write_line(&mut std::io::stderr().lock(), &harmless(text));
        }
    }

    /// Writes what went wrong and gives the exit code for it.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        let error = &failure.error;
        if self.json {
            let document = json!({ "error": { "code": error.code, "message": error.message, "hint": error.hint } });
            write_line(&mut std::io::stdout().lock(), &document_text(&document));
        } else {
            let mut stderr = std::io::stderr().lock();
            write_line(&mut stderr, &harmless(&format!("error: {}", error.message)));
            if let Some(hint) = &error.hint {
                write_line(&mut stderr, &harmless(&format!("hint: {hint}")));
            }
        }
        ExitCode::from(failure.exit)
    }
}

fn write_line(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}

/// Lines of columns, each as wide as its widest cell. Cells that begin with a digit are set to the right.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..header.len()).map(|column| width(column).unwrap_or(0)).collect();
    let is_number = |cell: &str| cell.trim_start_matches(['-', '+', '±']).starts_with(|c: char| c.is_ascii_digit());
    let to_the_right: Vec<bool> = (0..header.len())
        .map(|column| {
            !rows.is_empty() && rows.iter().all(|row| row.get(column).is_none_or(|cell| cell == "-" || is_number(cell)))
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if to_the_right[column] { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Microseconds as milliseconds, or `-`.
pub(crate) fn milliseconds(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us / 1_000.0))
}

/// A number with four decimals, or `undefined`.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.4}"))
}

/// Text from outside on one line, without control characters that could drive a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text of several lines without control characters that could drive a terminal, and without those that reorder their
/// neighbours. Names of models come from servers and may hold any.
fn harmless(text: &str) -> String {
    let lines = text.chars().filter(|c| !is_reordering(*c));
    lines.map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// A document on one line. JSON escapes the control characters of ASCII by itself, and these are the others: some terminals
/// obey them as well.
fn document_text(document: &Value) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for c in document.to_string().chars() {
        if c.is_control() {
            // Writing to memory does not fail.
            let _ = write!(text, "\\u{:04x}", c as u32);
        } else {
            text.push(c);
        }
    }
    text
}

/// Marks of direction (Unicode, UAX #9): with them a name can be made to look like another one.
const fn is_reordering(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_they_hold() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = columns(&["name", "p50"], &[row(["wine", "12.5 ms"]), row(["credit-risk", "-"])]);
        assert_eq!(text, "name             p50\nwine         12.5 ms\ncredit-risk        -");
    }

    #[test]
    fn text_from_outside_cannot_drive_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(harmless("a\u{1b}[31mb\u{9b}2J\r\n\tc\0"), "a [31mb 2J \n\tc ");
        assert_eq!(harmless("m\u{202e}lgpj.exe"), "mlgpj.exe");
        let document = json!({ "model": "a\u{1b}[31m\u{9b}2J\u{7f}é" });
        let text = document_text(&document);
        assert_eq!(text, r#"{"model":"a\u001b[31m\u009b2J\u007fé"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
