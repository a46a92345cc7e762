//! The beginning of a prediction, for a person to look at.
//!
//! What must stay true: it is bounded whatever the answer holds, it is fit to be shown, and it is stored nowhere.

use pilothouse_domain::Cell;

use crate::protocol::Answer;
use crate::text::one_line;

/// Rows shown of a prediction.
pub const SHOWN_ROWS: usize = 8;
/// Outputs shown of a row.
pub const SHOWN_OUTPUTS: usize = 8;
/// Longest name of an output, in characters.
pub(crate) const NAME_LIMIT: usize = 60;
/// Longest text shown of one value, in characters.
const TEXT_LIMIT: usize = 200;

/// The first values of a prediction, as the protocol's reader decoded them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShownPrediction {
    /// At most [`SHOWN_ROWS`] rows of at most [`SHOWN_OUTPUTS`] values, in the order of the rows sent.
    pub rows: Vec<Vec<Cell>>,
    /// The rows that came.
    pub row_count: usize,
    /// The values of the longest row that came.
    pub output_count: usize,
    /// The answer's name for each value of a row; empty where it names none.
    pub names: Vec<String>,
    /// The output that the values belong to, where the answer names it.
    pub output: Option<String>,
}

impl ShownPrediction {
    /// The beginning of `answer`; `redact` takes out what must not be shown.
    pub(crate) fn of(answer: &Answer, redact: impl Fn(&str) -> String) -> Self {
        let cell = |cell: &Cell| match cell {
            Cell::Text(text) => {
                // A value may be a whole document; a secret that this first cut parts lies far behind the second.
                Cell::Text(one_line(&redact(&one_line(text, 16 * TEXT_LIMIT)), TEXT_LIMIT))
            }
            Cell::Number(_) | Cell::Missing => cell.clone(),
        };
        let row = |row: &Vec<Cell>| row.iter().take(SHOWN_OUTPUTS).map(cell).collect();
        let name = |name: &String| one_line(&redact(name), NAME_LIMIT);
        Self {
            rows: answer.rows.iter().take(SHOWN_ROWS).map(row).collect(),
            row_count: answer.rows.len(),
            output_count: answer.rows.iter().map(Vec::len).max().unwrap_or(0),
            names: answer.names.iter().take(SHOWN_OUTPUTS).map(name).collect(),
            output: answer.output.as_ref().map(|form| name(&form.name)).filter(|name| !name.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OutputForm;

    #[test]
    fn a_large_answer_is_cut_and_counted() {
        let answer = Answer {
            rows: vec![vec![Cell::Number(0.5); 1_000]; 100],
            names: vec!["class".into(); 1_000],
            version: None,
            output: Some(OutputForm { name: "p\u{202e}".into(), datatype: "FP64".into() }),
        };
        let shown = ShownPrediction::of(&answer, str::to_owned);
        assert_eq!(shown.rows, vec![vec![Cell::Number(0.5); 8]; 8]);
        assert_eq!((shown.row_count, shown.output_count, shown.names.len()), (100, 1_000, 8));
        assert_eq!(shown.output.as_deref(), Some("p"), "nothing turns the line around");
    }

    #[test]
    fn texts_are_cut_and_hold_no_secret() {
        let text = format!("token hunter2 {}", "x".repeat(1_000_000));
        let answer = Answer {
            rows: vec![vec![Cell::Text(text), Cell::Missing, Cell::Number(f64::NAN)]],
            names: vec!["hunter2".into()],
            ..Answer::default()
        };
        let shown = ShownPrediction::of(&answer, |text| text.replace("hunter2", "***"));
        let [Cell::Text(text), Cell::Missing, Cell::Number(number)] = shown.rows[0].as_slice() else {
            panic!("{shown:?}");
        };
        assert!(text.starts_with("token *** xxx") && text.chars().count() == TEXT_LIMIT, "{text}");
        assert!(number.is_nan());
        assert_eq!(shown.names, ["***"]);
    }
}
