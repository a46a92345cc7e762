//! Newtype identifiers, so that one kind of id cannot be passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }
    };
}

integer_id!(
    /// A deployed model behind a URL, as the store numbers it. Never reused.
    EndpointId
);
integer_id!(
    /// A labelled set of rows.
    GoldenSetId
);
integer_id!(
    /// One evaluation of one golden set against one version.
    EvaluationId
);
text_id!(
    /// A rollback plan (a UUID).
    PlanId
);
text_id!(
    /// A rollback run (a UUID).
    RunId
);
text_id!(
    /// A model version as its owner spells it (`"7"`, `"v7"`, `"rev-18"`); compared by exact text.
    VersionId
);
