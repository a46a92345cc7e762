//! What each server's series mean: data, one table per server.
//!
//! What must stay true: a name in a table was printed by the server and version named above it, or stands in the
//! documentation named there; an entry that holds more than the endpoint's own model says so in its note.

mod bentoml;
mod kserve;
mod llama_cpp;
mod mlserver;
mod process;
mod ray;
mod torchserve;
mod triton;
mod vllm;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Quantity;
use crate::exposition::Labels;

/// The series of one server.
#[derive(Debug)]
pub struct Server {
    /// Its name for people.
    pub name: &'static str,
    /// What its series mean.
    pub entries: &'static [Entry],
}

/// One quantity in one server's words.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What it is to us.
    pub quantity: Quantity,
    /// The server's name, without a histogram's or a summary's suffix.
    pub series: &'static str,
    /// How it is counted.
    pub form: Form,
    /// What one of the server's units is in ours.
    pub scale: f64,
    /// The label that names the model; empty: it is not told apart.
    pub model: &'static str,
    /// The label that names the model's version; empty: it is not told apart.
    pub version: &'static str,
    /// How the quantity is split up.
    pub part: Part,
    /// Which series of this name count.
    pub only: &'static [Filter],
    /// Read only when no earlier entry of the same table gave this quantity.
    pub otherwise: bool,
    /// What a reader of the number should know; empty: nothing.
    pub note: &'static str,
}

/// How a series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Rises with each event; its increase over time is a rate.
    Counter,
    /// A value at one moment.
    Gauge,
    /// A classic histogram of durations: `_bucket`, `_sum`, `_count`.
    Histogram,
    /// A summary of durations: `_sum`, `_count` and, with some servers, quantiles of its own window.
    Summary,
    /// Two counters: this one is the total duration, the one named here counts the requests.
    Total {
        /// The counter of requests.
        requests: &'static str,
    },
}

/// How a quantity is split up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Not at all.
    Whole,
    /// By the value of a label.
    Label(&'static str),
    /// This series is the part of this name.
    Named(&'static str),
}

/// Which values of a label count. An absent label reads as empty.
#[derive(Debug, Clone, Copy)]
pub enum Filter {
    /// The label has one of these values.
    Is(&'static str, &'static [&'static str]),
    /// The label has none of these values.
    IsNot(&'static str, &'static [&'static str]),
    /// The label ends so.
    EndsWith(&'static str, &'static str),
    /// The label begins in one of these ways.
    BeginsWith(&'static str, &'static [&'static str]),
}

impl Filter {
    fn admits(&self, labels: &Labels<'_>) -> bool {
        match self {
            Self::Is(label, values) => values.contains(&labels.get(label)),
            Self::IsNot(label, values) => !values.contains(&labels.get(label)),
            Self::EndsWith(label, end) => labels.get(label).ends_with(end),
            Self::BeginsWith(label, begins) => begins.iter().any(|begin| labels.get(label).starts_with(begin)),
        }
    }
}

/// Which model's series are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The model's name; `None`: all that the server holds.
    pub model: Option<&'a str>,
    /// A fixed version; `None`: all of them together.
    pub version: Option<&'a str>,
}

impl Entry {
    /// The usual entry: the server's unit is ours, nothing is told apart.
    const fn new(quantity: Quantity, series: &'static str, form: Form) -> Self {
        Self {
            quantity,
            series,
            form,
            scale: 1.0,
            model: "",
            version: "",
            part: Part::Whole,
            only: &[],
            otherwise: false,
            note: "",
        }
    }

    const fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    const fn model(self, model: &'static str) -> Self {
        Self { model, ..self }
    }

    const fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    const fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    const fn only(self, only: &'static [Filter]) -> Self {
        Self { only, ..self }
    }

    const fn otherwise(self) -> Self {
        Self { otherwise: true, ..self }
    }

    const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Whether a series with these labels counts.
    pub(crate) fn admits(&self, labels: &Labels<'_>, wanted: Wanted<'_>) -> bool {
        let is_wanted = |label: &str, wanted: Option<&str>| {
            label.is_empty() || wanted.is_none_or(|wanted| labels.get(label) == wanted)
        };
        is_wanted(self.model, wanted.model)
            && is_wanted(self.version, wanted.version)
            && self.only.iter().all(|filter| filter.admits(labels))
    }
}

/// Every server that is known, and what any process may say of itself.
pub static SERVERS: &[&Server] = &[
    &mlserver::SERVER,
    &triton::SERVER,
    &torchserve::SERVER,
    &bentoml::SERVER,
    &vllm::SERVER,
    &llama_cpp::SERVER,
    &ray::SERVER,
    &kserve::SERVER,
    &process::SERVER,
];

/// Which of an entry's numbers a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The counter or gauge itself, or a total duration.
    Value,
    /// The number of requests.
    Count,
    /// A bucket of a histogram.
    Bucket,
    /// A quantile of a summary.
    Quantile,
}

/// Where an entry stands: server and place in its table.
pub(crate) type Place = (u8, u8);

/// The entry at a place.
pub(crate) fn entry((server, entry): Place) -> &'static Entry {
    &SERVERS[usize::from(server)].entries[usize::from(entry)]
}

/// What a sample of this name may be.
pub(crate) fn meanings(name: &str) -> &'static [(Place, Role)] {
    static BY_NAME: LazyLock<HashMap<String, Vec<(Place, Role)>>> = LazyLock::new(|| {
        let mut by_name: HashMap<String, Vec<(Place, Role)>> = HashMap::new();
        for (server, table) in (0..).zip(SERVERS) {
            for (place, entry) in (0..).zip(table.entries) {
                let name = entry.series;
                let names = match entry.form {
                    Form::Counter | Form::Gauge => vec![(name.to_owned(), Role::Value)],
                    Form::Total { requests } => {
                        vec![(name.to_owned(), Role::Value), (requests.to_owned(), Role::Count)]
                    }
                    Form::Histogram => vec![
                        (format!("{name}_bucket"), Role::Bucket),
                        (format!("{name}_sum"), Role::Value),
                        (format!("{name}_count"), Role::Count),
                    ],
                    Form::Summary => vec![
                        (name.to_owned(), Role::Quantile),
                        (format!("{name}_sum"), Role::Value),
                        (format!("{name}_count"), Role::Count),
                    ],
                };
                for (name, role) in names {
                    by_name.entry(name).or_default().push(((server, place), role));
                }
            }
        }
        by_name
    });
    BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    #[test]
    fn forms_fit_their_quantities() {
        for server in SERVERS {
            assert!(!server.entries.is_empty(), "{}", server.name);
            for entry in server.entries {
                let unit = entry.quantity.unit();
                let fits = match entry.form {
                    Form::Counter => matches!(unit, Unit::PerSecond | Unit::Cores),
                    Form::Gauge => unit != Unit::PerSecond,
                    Form::Histogram | Form::Summary | Form::Total { .. } => unit == Unit::Seconds,
                };
                assert!(fits && entry.scale > 0.0, "{}: {entry:?}", server.name);
            }
        }
    }

    #[test]
    fn every_alternative_has_something_before_it() {
        for server in SERVERS {
            for (place, entry) in server.entries.iter().enumerate().filter(|(_, entry)| entry.otherwise) {
                let earlier = &server.entries[..place];
                assert!(earlier.iter().any(|other| other.quantity == entry.quantity), "{}: {entry:?}", server.name);
            }
        }
    }
}
