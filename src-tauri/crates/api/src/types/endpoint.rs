//! The Endpoint screen: header, health, accuracy.

use super::{FleetRow, MetricValue, TimelineEvent, border};

border! {
    /// Header and settings of one endpoint.
    pub struct EndpointDetail {
        /// The same row as on the Fleet screen.
        pub row: FleetRow,
        /// Settings as they can be edited.
        pub draft: super::EndpointDraft,
        /// The revision of these settings; a change names it, so that it cannot undo somebody else's.
        pub revision: i64,
        /// Control plane in words ("MLflow registry, alias champion"), if any.
        pub control_plane: Option<String>,
        /// Golden set, if any.
        pub golden_set: Option<GoldenSetSummary>,
        /// The facets of its health: the server's own words beside what its predictions show.
        pub facets: super::HealthFacets,
        /// What the cloud that runs it says of it, where one is asked.
        pub deployment: Option<super::Deployment>,
        /// What a person should know before relying on this kind of server.
        pub notice: Option<String>,
        /// The latest events, newest first.
        pub events: Vec<TimelineEvent>,
        /// When this was read.
        pub now_ms: i64,
    }

    /// Asks for a range of one endpoint.
    #[derive(Copy, Eq)]
    pub struct RangeRequest {
        /// Endpoint.
        pub id: i64,
        /// Start.
        pub from_ms: i64,
        /// End.
        pub to_ms: i64,
    }

    /// Numbers of the Health tab.
    pub struct HealthSummary {
        /// Probes.
        pub n: u32,
        /// In order.
        pub n_ok: u32,
        /// Target failed.
        pub n_target_failed: u32,
        /// Unknown (ours).
        pub n_unknown: u32,
        /// Quantiles of the probes in order, in microseconds.
        pub p50_us: Option<f64>,
        /// See `p50_us`.
        pub p95_us: Option<f64>,
        /// See `p50_us`.
        pub p99_us: Option<f64>,
        /// Share in order of those known, with its Wilson interval.
        pub availability: MetricValue,
        /// Median per phase, in microseconds, of the probes in which the phase took place.
        pub phases: Vec<PhaseMedian>,
        /// Reasons of failures and unknowns, most frequent first.
        pub reasons: Vec<ReasonCount>,
    }

    /// Median of one phase.
    pub struct PhaseMedian {
        /// `dns`, `connect`, `tls`, `send`, `wait`, `receive`.
        pub phase: String,
        /// Median in microseconds; `null` when it never took place.
        pub median_us: Option<f64>,
    }

    /// How often something went wrong.
    pub struct ReasonCount {
        /// Phrase.
        pub reason: String,
        /// Whether it is ours (unknown) and not the target's.
        pub ours: bool,
        /// How often.
        pub n: u32,
    }

    /// A golden set without its rows.
    pub struct GoldenSetSummary {
        /// Id.
        pub id: i64,
        /// Name.
        pub name: String,
        /// `binary`, `multiclass` or `regression`.
        pub task: String,
        /// Rows.
        pub n: u32,
    }

    /// Every golden set.
    pub struct GoldenSets {
        /// By name.
        pub golden_sets: Vec<GoldenSetSummary>,
    }

    /// Evaluations of a range.
    pub struct Quality {
        /// Golden set, if one is configured.
        pub golden_set: Option<GoldenSetSummary>,
        /// Latest evaluation per version, newest version first.
        pub versions: Vec<VersionQuality>,
        /// Evaluations of the range, oldest first.
        pub evaluations: Vec<EvaluationSummary>,
        /// When the next one is due; `null` when paused or without a golden set.
        pub next_ms: Option<i64>,
    }

    /// One evaluation.
    pub struct EvaluationSummary {
        /// Id.
        pub id: i64,
        /// When.
        pub at_ms: i64,
        /// Version that answered.
        pub version: Option<String>,
        /// Rows.
        pub n: u32,
        /// Metrics, the main one first.
        pub metrics: Vec<MetricValue>,
    }

    /// Latest evaluation of one version, and its change against the version before it.
    pub struct VersionQuality {
        /// Its latest evaluation.
        pub evaluation: EvaluationSummary,
        /// Change against the next older version evaluated.
        pub change: Option<super::QualityChange>,
        /// Rows that the other version had right and this one has wrong, and the other way round.
        pub flips: Option<Flips>,
    }

    /// Rows whose correctness changed between two versions.
    #[derive(Copy, Eq)]
    pub struct Flips {
        /// Now wrong, before right.
        pub worse: u32,
        /// Now right, before wrong.
        pub better: u32,
    }

    /// Imports a golden set from a table with labels.
    pub struct GoldenSetImport {
        /// Unique name.
        pub name: String,
        /// CSV (with header) or JSON Lines; the kind is read from the content.
        pub text: String,
        /// Column with the right answers.
        pub label: String,
        /// `binary`, `multiclass`, `regression`, or empty: read from the labels.
        pub task: String,
        /// For binary tasks: the positive label; empty: the larger one.
        pub positive: String,
        /// Where the rows come from.
        pub source: String,
    }
}
