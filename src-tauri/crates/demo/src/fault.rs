//! What can be made to go wrong with a demo model, and the words for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DemoError;

const DEFAULT_LATENCY_MS: u32 = 800;
const DEFAULT_ERROR_RATE: f64 = 0.5;
const MAX_LATENCY_MS: u32 = 600_000;

/// A fault of one model's server. As JSON: `{"fault":"latency","ms":400}`; as text: `latency:400`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// None. The version that is live stays live.
    #[default]
    None,
    /// Every prediction takes longer.
    Latency {
        /// Milliseconds added, at most 600,000. 800 when left out.
        #[serde(default = "default_latency_ms")]
        ms: u32,
    },
    /// Some predictions are answered with status 500.
    Errors {
        /// The share of them, 0 to 1. 0.5 when left out.
        #[serde(default = "default_error_rate")]
        rate: f64,
    },
    /// The server accepts connections and requests and answers none, until the fault is changed.
    Hang,
    /// Predictions have one row too many.
    WrongShape,
    /// Somebody ships the defective version. It is cured by switching the live version back, not by clearing the fault.
    VersionDefect,
}

impl Fault {
    /// The word for it: `none`, `latency`, `errors`, `hang`, `wrong_shape` or `version_defect`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latency { .. } => "latency",
            Self::Errors { .. } => "errors",
            Self::Hang => "hang",
            Self::WrongShape => "wrong_shape",
            Self::VersionDefect => "version_defect",
        }
    }

    /// Refuses settings out of range.
    pub(crate) fn checked(self) -> Result<Self, DemoError> {
        let invalid = |problem: String| Err(DemoError::InvalidFault { problem });
        match self {
            Self::Latency { ms } if ms > MAX_LATENCY_MS => {
                invalid(format!("`latency` takes at most {MAX_LATENCY_MS} ms, not {ms}"))
            }
            Self::Errors { rate } if !(0.0..=1.0).contains(&rate) => {
                invalid(format!("`errors` takes a rate from 0 to 1, not {rate}"))
            }
            fault => Ok(fault),
        }
    }
}

const fn default_latency_ms() -> u32 {
    DEFAULT_LATENCY_MS
}

const fn default_error_rate() -> f64 {
    DEFAULT_ERROR_RATE
}

/// The word, with the setting after a colon where there is one: `latency:400`, `errors:0.3`, `hang`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Latency { ms } => write!(f, ":{ms}"),
            Self::Errors { rate } => write!(f, ":{rate}"),
            _ => Ok(()),
        }
    }
}

/// Reads what [`Fault`]'s `Display` writes; a setting may be left out.
impl FromStr for Fault {
    type Err = DemoError;

    fn from_str(text: &str) -> Result<Self, DemoError> {
        let (word, setting) = text.split_once(':').map_or((text, None), |(word, setting)| (word, Some(setting)));
        let invalid = |problem: String| DemoError::InvalidFault { problem };
        let fault = match word {
            "latency" => Self::Latency {
                ms: setting.map_or(Ok(DEFAULT_LATENCY_MS), |s| {
                    s.parse().map_err(|_| invalid(format!("`latency` takes whole milliseconds, not `{s}`")))
                })?,
            },
            "errors" => Self::Errors {
                rate: setting.map_or(Ok(DEFAULT_ERROR_RATE), |s| {
                    s.parse().map_err(|_| invalid(format!("`errors` takes a rate from 0 to 1, not `{s}`")))
                })?,
            },
            "none" | "hang" | "wrong_shape" | "version_defect" if setting.is_some() => {
                return Err(invalid(format!("`{word}` takes no setting; leave out everything from the colon on")));
            }
            "none" => Self::None,
            "hang" => Self::Hang,
            "wrong_shape" => Self::WrongShape,
            "version_defect" => Self::VersionDefect,
            _ => {
                let known = "`none`, `latency`, `errors`, `hang`, `wrong_shape`, `version_defect`";
                return Err(invalid(format!("`{word}` is unknown; known are {known}")));
            }
        };
        fault.checked()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            Just(Fault::None),
            (0..=MAX_LATENCY_MS).prop_map(|ms| Fault::Latency { ms }),
            (0.0..=1.0).prop_map(|rate| Fault::Errors { rate }),
            Just(Fault::Hang),
            Just(Fault::WrongShape),
            Just(Fault::VersionDefect),
        ]
    }

    proptest! {
        #[test]
        fn a_fault_survives_text_and_json(fault in any_fault()) {
            prop_assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
            let json = serde_json::to_string(&fault).unwrap();
            prop_assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Fault>();
        }
    }

    #[test]
    fn words_and_settings() {
        let check = |text: &str, expect: Option<Fault>| assert_eq!(text.parse::<Fault>().ok(), expect, "{text}");
        check("latency", Some(Fault::Latency { ms: 800 }));
        check("latency:400", Some(Fault::Latency { ms: 400 }));
        check("latency:600001", None);
        check("latency:-1", None);
        check("errors", Some(Fault::Errors { rate: 0.5 }));
        check("errors:1.5", None);
        check("errors:NaN", None);
        check("hang:1", None);
        check("fire", None);
        let json = serde_json::to_value(Fault::Latency { ms: 400 }).unwrap();
        assert_eq!(json, serde_json::json!({"fault": "latency", "ms": 400}));
        assert_eq!(serde_json::from_str::<Fault>(r#"{"fault":"errors"}"#).unwrap(), Fault::Errors { rate: 0.5 });
    }
}
