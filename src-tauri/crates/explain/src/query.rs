//! Sends rows to the model in full batches and hands each piece of work its answers.
//!
//! What it hides: that a batch may end in the middle of a piece. What must stay true: pieces are settled in order and with
//! the same numbers whatever the batch size; every answer is checked for shape and finiteness; a wish to stop is seen
//! before and after each call.

use std::collections::VecDeque;

use crate::{ExplainError, Matrix, Model, RowOrigin};

/// How far an explanation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Model rows answered so far.
    pub done_rows: u64,
    /// Model rows in all.
    pub total_rows: u64,
}

/// What the receiver of a [`Progress`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop with [`ExplainError::Cancelled`].
    Cancel,
}

/// Rows on their way to a model.
pub(crate) struct Query<'a> {
    pub(crate) model: &'a dyn Model,
    pub(crate) batch_rows: usize,
    pub(crate) progress: &'a dyn Fn(Progress) -> Control,
    pub(crate) done_rows: u64,
    pub(crate) total_rows: u64,
    pub(crate) calls: u64,
    /// Outputs per row, once an answer has told.
    pub(crate) outputs: Option<usize>,
}

/// A piece of work: rows that belong together.
pub(crate) trait Piece {
    /// Appends its rows to `rows`; returns how many.
    fn push_rows(&self, rows: &mut Vec<f64>) -> usize;

    /// Where its row at `index` comes from.
    fn origin(&self, index: usize) -> RowOrigin;
}

impl Query<'_> {
    /// Asks the model for all rows of `pieces` of `columns` features and settles each piece with its answers (rows × k).
    pub(crate) fn run<P: Piece>(
        &mut self,
        columns: usize,
        pieces: impl Iterator<Item = P>,
        mut settle: impl FnMut(P, &[f64]),
    ) -> Result<(), ExplainError> {
        let mut waiting: VecDeque<(P, usize)> = VecDeque::new();
        // Rows not yet sent, and answers not yet settled; the oldest waiting piece's answers come first.
        let mut rows = Vec::new();
        let mut answers = Vec::new();
        for piece in pieces {
            let count = piece.push_rows(&mut rows);
            waiting.push_back((piece, count));
            let full = rows.len() / (columns * self.batch_rows) * self.batch_rows;
            self.send(columns, full, &mut rows, &mut answers, &waiting)?;
            self.settle_answered(&mut waiting, &mut answers, &mut settle);
        }
        let rest = rows.len() / columns.max(1);
        self.send(columns, rest, &mut rows, &mut answers, &waiting)?;
        self.settle_answered(&mut waiting, &mut answers, &mut settle);
        Ok(())
    }

    fn settle_answered<P: Piece>(
        &self,
        waiting: &mut VecDeque<(P, usize)>,
        answers: &mut Vec<f64>,
        settle: &mut impl FnMut(P, &[f64]),
    ) {
        let Some(outputs) = self.outputs else { return };
        let mut used = 0;
        while let Some((_, count)) = waiting.front()
            && used + count * outputs <= answers.len()
            && let Some((piece, count)) = waiting.pop_front()
        {
            settle(piece, &answers[used..used + count * outputs]);
            used += count * outputs;
        }
        answers.drain(..used);
    }

    /// Sends the first `count` of `rows` in batches.
    fn send<P: Piece>(
        &mut self,
        columns: usize,
        count: usize,
        rows: &mut Vec<f64>,
        answers: &mut Vec<f64>,
        waiting: &VecDeque<(P, usize)>,
    ) -> Result<(), ExplainError> {
        let mut first = 0;
        while first < count {
            let size = self.batch_rows.min(count - first);
            let batch = Matrix { data: rows[first * columns..(first + size) * columns].to_vec(), columns };
            let answered_before = answers.len() / self.outputs.unwrap_or(1);
            self.call(&batch, answers, |index| origin_of(waiting, answered_before + index))?;
            first += size;
        }
        rows.drain(..count * columns);
        Ok(())
    }

    fn call(
        &mut self,
        batch: &Matrix,
        answers: &mut Vec<f64>,
        origin: impl Fn(usize) -> RowOrigin,
    ) -> Result<(), ExplainError> {
        self.report()?;
        let rows = batch.rows();
        let answer = self.model.predict(batch).map_err(|source| ExplainError::Model { rows, source })?;
        let expected = self.outputs.unwrap_or(answer.columns);
        if expected == 0 || answer.columns != expected || answer.data.len() != rows * expected {
            return Err(ExplainError::OutputShape {
                rows,
                got_values: answer.data.len(),
                got_columns: answer.columns,
                expected: self.outputs.map_or_else(|| "at least 1".to_owned(), |outputs| outputs.to_string()),
            });
        }
        if let Some(index) = answer.data.iter().position(|value| !value.is_finite()) {
            let row = index / expected;
            return Err(ExplainError::NonFiniteOutput {
                value: answer.data[index],
                output: index % expected,
                origin: origin(row),
                row: batch.row(row).to_vec(),
            });
        }
        self.outputs = Some(expected);
        self.calls += 1;
        self.done_rows += rows as u64;
        answers.extend_from_slice(&answer.data);
        self.report()
    }

    fn report(&self) -> Result<(), ExplainError> {
        match (self.progress)(Progress { done_rows: self.done_rows, total_rows: self.total_rows }) {
            Control::Continue => Ok(()),
            Control::Cancel => Err(ExplainError::Cancelled),
        }
    }
}

fn origin_of<P: Piece>(waiting: &VecDeque<(P, usize)>, mut index: usize) -> RowOrigin {
    for (piece, count) in waiting {
        if index < *count {
            return piece.origin(index);
        }
        index -= count;
    }
    // Every row belongs to a waiting piece; the explained row is the honest answer if that were ever wrong.
    RowOrigin::Explained
}
