//! What a model server says about itself: its Prometheus or `OpenMetrics` page, read into a few quantities of ours.
//!
//! What it is: a reader of the text formats ([`exposition`]), a catalogue of what each server's series mean
//! ([`catalogue`]), one look at a page ([`Snapshot`]), what two looks say about the time between them ([`Reading`]), and
//! sums of those ([`Tally`]). What it hides: escapes, resets of counters, cumulative buckets, every server's own names.
//! What must stay true: no I/O and no clock; no page of any bytes panics or takes more memory than the limits say; a rate
//! is never negative; what a page does not say is absent and never 0.

pub mod catalogue;
pub mod exposition;
mod histogram;
mod snapshot;
mod tally;

pub use histogram::{Estimate, Histogram};
pub use pilothouse_domain::{Quantity, Unit};
pub use snapshot::{Found, Reading, Snapshot};
pub use tally::Tally;
