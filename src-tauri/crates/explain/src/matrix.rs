//! Rows of numbers.

/// Rows of `columns` numbers each, one after the other in `data`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// The values, row by row; a multiple of `columns` long.
    pub data: Vec<f64>,
    /// Values per row.
    pub columns: usize,
}

impl Matrix {
    /// A matrix without rows.
    #[must_use]
    pub const fn empty(columns: usize) -> Self {
        Self { data: Vec::new(), columns }
    }

    /// The matrix of these rows, which must all be of one length; `None` when they are not.
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Option<Self> {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        let mut data = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            if row.as_ref().len() != columns {
                return None;
            }
            data.extend_from_slice(row.as_ref());
        }
        Some(Self { data, columns })
    }

    /// The number of whole rows.
    pub const fn rows(&self) -> usize {
        match self.data.len().checked_div(self.columns) {
            Some(rows) => rows,
            None => 0,
        }
    }

    /// The row at `index`, which must exist.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.data.chunks_exact(self.columns.max(1))
    }
}
