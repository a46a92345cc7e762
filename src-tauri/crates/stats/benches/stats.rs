//! What counting costs: sketches of latencies, metrics and fairness of a million rows.

use std::sync::OnceLock;

use divan::{Bencher, counter::ItemsCount};
use pilothouse_domain::{Label, Task};
use pilothouse_stats::{MetricOptions, QuantileSketch, evaluate, group_rates};

const ROWS: u32 = 1_000_000;

fn main() {
    divan::main();
}

/// A number in [0, 1) for each row, the same in every run (Knuth's multiplicative hash).
fn spread(row: u32) -> f64 {
    f64::from(row.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX)
}

/// Ten million latencies between 1 and 100 ms.
#[divan::bench(sample_count = 5)]
fn sketch_inserts(bencher: Bencher<'_, '_>) {
    let values: Vec<f64> = (0..10 * ROWS).map(|row| 1_000.0 + 99_000.0 * spread(row)).collect();
    bencher.counter(ItemsCount::new(values.len())).bench_local(|| {
        let mut sketch = QuantileSketch::new();
        for &value in &values {
            sketch.insert(value);
        }
        sketch.quantile(0.99)
    });
}

struct Rows {
    task: Task,
    labels: Vec<Label>,
    outputs: Vec<Vec<f64>>,
    groups: Vec<String>,
}

fn rows() -> &'static Rows {
    static ROWS_ONCE: OnceLock<Rows> = OnceLock::new();
    ROWS_ONCE.get_or_init(|| Rows {
        task: Task::Binary { classes: ["good".to_owned(), "bad".to_owned()] },
        labels: (0..ROWS).map(|row| Label::Class(u32::from(spread(row) > 0.7))).collect(),
        outputs: (0..ROWS).map(|row| vec![spread(row) * 0.6 + spread(row + 1) * 0.4]).collect(),
        groups: (0..ROWS).map(|row| ["female", "male", "other"][row as usize % 3].to_owned()).collect(),
    })
}

/// Every metric of a million rows, without the bootstrap.
#[divan::bench(sample_count = 5)]
fn metrics_of_a_million_rows(bencher: Bencher<'_, '_>) {
    let Rows { task, labels, outputs, .. } = rows();
    let options = MetricOptions { resamples: 0, ..MetricOptions::default() };
    bencher.bench_local(|| evaluate(task, labels, outputs, &options));
}

#[divan::bench(sample_count = 5)]
fn fairness_of_a_million_rows(bencher: Bencher<'_, '_>) {
    let Rows { task, labels, outputs, groups } = rows();
    bencher.bench_local(|| group_rates(task, labels, outputs, groups));
}
