//! Health by its facets: what the server says of itself, beside what its predictions show.
//!
//! What must stay true: a facet is the latest word, not a confirmed state; a server's own word never makes an endpoint
//! healthy or down.

use serde::{Deserialize, Serialize};

use crate::TimestampMs;

/// What is known of one facet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FacetState {
    /// Yes.
    Ok,
    /// No, or no answer.
    Failed,
    /// The server has no route for it.
    NotOffered,
    /// It was not asked.
    #[default]
    NotAsked,
    /// We cannot say: the failure is ours.
    Unknown,
}

impl FacetState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Failed, Self::NotOffered, Self::NotAsked, Self::Unknown];

    /// The word used in the store, the CLI and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotOffered => "not_offered",
            Self::NotAsked => "not_asked",
            Self::Unknown => "unknown",
        }
    }

    /// The state with this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One facet: its state, since when, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthFacet {
    /// The state.
    pub state: FacetState,
    /// When it was first seen so; `None` before it was asked.
    pub since: Option<TimestampMs>,
    /// What happened, to what; untrusted, at most 300 characters, never with a secret.
    pub detail: Option<String>,
}

impl HealthFacet {
    /// Takes in the latest word. The time stays where the state does. Whether anything is to be written down.
    pub fn observe(&mut self, state: FacetState, detail: Option<String>, at: TimestampMs) -> bool {
        if self.since.is_some() && self.state == state && self.detail == detail {
            return false;
        }
        if self.state != state || self.since.is_none() {
            self.since = Some(at);
        }
        (self.state, self.detail) = (state, detail);
        true
    }
}

/// The facets of an endpoint's health.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthFacets {
    /// The server says that it lives.
    pub live: HealthFacet,
    /// The server says that the model is ready.
    pub ready: HealthFacet,
    /// The model predicts, and its prediction passes the checks.
    pub predicts: HealthFacet,
}

impl HealthFacets {
    /// Whether the server calls itself well while its predictions fail.
    pub fn contradict(&self) -> bool {
        self.predicts.state == FacetState::Failed
            && (self.ready.state == FacetState::Ok
                || (self.live.state == FacetState::Ok && self.ready.state != FacetState::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_beginning() {
        let mut facet = HealthFacet::default();
        let check = |facet: &mut HealthFacet, state, detail: &str, at, expect: (bool, i64)| {
            let changed = facet.observe(state, Some(detail.to_owned()), TimestampMs(at));
            assert_eq!((changed, facet.since), (expect.0, Some(TimestampMs(expect.1))), "{facet:?}");
        };
        check(&mut facet, FacetState::NotAsked, "no rows", 1, (true, 1));
        check(&mut facet, FacetState::Failed, "503", 2, (true, 2));
        check(&mut facet, FacetState::Failed, "503", 3, (false, 2));
        check(&mut facet, FacetState::Failed, "504", 4, (true, 2));
        check(&mut facet, FacetState::Ok, "504", 5, (true, 5));
    }

    #[test]
    fn a_servers_good_word_beside_failing_predictions_is_a_contradiction() {
        use FacetState::{Failed, NotOffered, Ok};
        let check = |live, ready, predicts, expect: bool| {
            let facet = |state| HealthFacet { state, since: None, detail: None };
            let facets = HealthFacets { live: facet(live), ready: facet(ready), predicts: facet(predicts) };
            assert_eq!(facets.contradict(), expect, "{facets:?}");
        };
        check(Ok, Ok, Failed, true);
        check(Ok, NotOffered, Failed, true);
        check(Ok, Failed, Failed, false);
        check(Failed, Failed, Failed, false);
        check(Ok, Ok, Ok, false);
    }

    #[test]
    fn states_survive_their_words() {
        for state in FacetState::ALL {
            assert_eq!(FacetState::parse(state.as_str()), Some(state));
        }
    }
}
