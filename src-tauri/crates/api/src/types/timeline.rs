//! The timeline and the audit list.

use super::border;

border! {
    /// Asks for events.
    #[derive(Copy, Eq)]
    pub struct TimelineRequest {
        /// One endpoint, or all.
        pub id: Option<i64>,
        /// Start.
        pub from_ms: i64,
        /// End.
        pub to_ms: i64,
        /// At most so many, newest first.
        pub limit: u32,
    }

    /// Events.
    pub struct Timeline {
        /// Newest first.
        pub events: Vec<TimelineEvent>,
    }

    /// One event.
    #[derive(Eq)]
    pub struct TimelineEvent {
        /// Id.
        pub id: i64,
        /// When.
        pub at_ms: i64,
        /// Endpoint id, if it concerns one.
        pub endpoint_id: Option<i64>,
        /// Endpoint name.
        pub endpoint: Option<String>,
        /// Closed word: `health_changed`, `version_changed`, `evaluated`, …
        pub kind: String,
        /// `ok`, `warn`, `bad`, `unknown` or `info`: shape and colour.
        pub tone: Tone,
        /// One sentence.
        pub text: String,
        /// Rollback run it belongs to.
        pub run_id: Option<String>,
    }

    /// How an event is marked.
    #[derive(Copy, Eq)]
    pub enum Tone {
        /// Good.
        Ok,
        /// Warning.
        Warn,
        /// Bad.
        Bad,
        /// Unknown.
        Unknown,
        /// Neutral.
        Info,
    }

    /// Asks for audit entries.
    #[derive(Copy, Eq)]
    pub struct AuditRequest {
        /// At most so many.
        pub limit: u32,
        /// Only older ones than this id.
        pub before: Option<i64>,
    }

    /// Audit entries.
    pub struct Audit {
        /// Newest first.
        pub entries: Vec<AuditEntry>,
    }

    /// One audit entry.
    #[derive(Eq)]
    pub struct AuditEntry {
        /// Id.
        pub id: i64,
        /// When.
        pub at_ms: i64,
        /// OS user.
        pub who: String,
        /// What.
        pub action: String,
        /// Endpoint name at that time.
        pub endpoint: Option<String>,
        /// Why.
        pub reason: String,
        /// Before, as JSON text.
        pub before: String,
        /// After, as JSON text.
        pub after: String,
        /// Evidence, as JSON text.
        pub evidence: String,
    }
}
