//! Tokens that were obtained: kept until shortly before they expire, fetched once for all who wait.
//!
//! What it is: one [`TokenCache`] per process with a [`TokenSlot`] per credential, so that a hundred endpoints behind one
//! login fetch one token. What must stay true: at most one fetch per slot at a time; everyone who waited for it shares its
//! result, a failure too; a token that a server refuses is fetched anew at most once a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::transport::Failure;

/// A token that does not say how long it lives is fetched anew after this.
const UNSAID_LIFETIME: Duration = Duration::from_mins(5);
/// No token is kept for longer, whatever its server says.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// A token is fetched anew this long before it expires, or a fifth of its life if that is less.
const MARGIN: Duration = Duration::from_mins(1);
/// A failure is given to everyone who asks for this long: a struggling token server is not asked by each endpoint.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// A server that goes on refusing is not met with a new token for each request.
const RENEWED_AT_MOST_EVERY: Duration = Duration::from_mins(1);

/// What a request is authorised with.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// `Authorization: Bearer …`
    Bearer(SecretString),
    /// A key that signs requests. Its `Debug` hides the secrets.
    Aws(aws_credential_types::Credentials),
}

/// A token as its server issued it.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) proof: Proof,
    /// From now, if the server said.
    pub(super) valid_for: Option<Duration>,
}

/// Tokens of this process by credential.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    slots: Mutex<HashMap<[u8; 32], Arc<TokenSlot>>>,
}

impl TokenCache {
    /// The slot of the credential that these parts make up. Only a digest of them is kept.
    pub(super) fn slot(&self, parts: &[&str]) -> Arc<TokenSlot> {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let key: [u8; 32] = digest.finalize().into();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|known, slot| *known == key || Arc::strong_count(slot) > 1 || slot.holds_valid());
        Arc::clone(slots.entry(key).or_default())
    }
}

/// The token of one credential.
#[derive(Debug, Default)]
pub(super) struct TokenSlot {
    state: tokio::sync::Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    held: Option<Held>,
    /// Counts the tokens obtained.
    generation: u64,
    failure: Option<(Instant, Failure)>,
    renewed: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    proof: Proof,
    renew_at: Instant,
    expires_at: Instant,
}

impl TokenSlot {
    /// The token with its number, fetched by `issue` unless a valid one is held.
    pub(super) async fn current<Issuing>(&self, issue: impl FnOnce() -> Issuing) -> Result<(Proof, u64), Failure>
    where
        Issuing: Future<Output = Result<Issued, Failure>>,
    {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let generation = state.generation;
        if let Some(held) = &state.held
            && Instant::now() < held.renew_at
        {
            return Ok((held.proof.clone(), generation));
        }
        let valid = state.held.as_ref().filter(|held| Instant::now() < held.expires_at).map(|held| held.proof.clone());
        if let Some((at, failure)) = &state.failure
            && (asked <= *at || at.elapsed() < FAILURE_KEPT)
        {
            return valid.map_or_else(|| Err(failure.clone()), |proof| Ok((proof, generation)));
        }
        match issue().await {
            Ok(issued) => {
                let lifetime = issued.valid_for.unwrap_or(UNSAID_LIFETIME).min(LONGEST_LIFETIME);
                let now = Instant::now();
                let margin = MARGIN.min(lifetime / 5);
                state.held = Some(Held {
                    proof: issued.proof.clone(),
                    renew_at: now + lifetime.saturating_sub(margin),
                    expires_at: now + lifetime,
                });
                state.generation += 1;
                state.failure = None;
                Ok((issued.proof, state.generation))
            }
            // The old token still works for a little while.
            Err(failure) => {
                state.failure = Some((Instant::now(), failure.clone()));
                valid.map_or(Err(failure), |proof| Ok((proof, generation)))
            }
        }
    }

    /// Gives up the token of this number, which a server refused. Whether repeating the request makes sense: another
    /// token is there or may be fetched.
    pub(super) async fn refused(&self, generation: u64) -> bool {
        let mut state = self.state.lock().await;
        if state.generation != generation {
            return true;
        }
        if state.renewed.is_some_and(|at| at.elapsed() < RENEWED_AT_MOST_EVERY) {
            return false;
        }
        state.renewed = Some(Instant::now());
        state.held = None;
        true
    }

    fn holds_valid(&self) -> bool {
        // A slot in use is busy, and stays.
        self.state
            .try_lock()
            .map_or(true, |state| state.held.as_ref().is_some_and(|held| Instant::now() < held.expires_at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use pilothouse_domain::UnknownReason;
    use secrecy::ExposeSecret as _;

    use super::*;

    /// Issues `token-1`, `token-2`, …
    #[derive(Default)]
    struct Issuer {
        count: AtomicU32,
    }

    impl Issuer {
        fn issue(&self, seconds: Option<u64>) -> Issued {
            let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
            let proof = Proof::Bearer(format!("token-{number}").into());
            Issued { proof, valid_for: seconds.map(Duration::from_secs) }
        }

        fn issued(&self) -> u32 {
            self.count.load(Ordering::SeqCst)
        }
    }

    fn text(found: Result<(Proof, u64), Failure>) -> String {
        match found {
            Ok((Proof::Bearer(token), _)) => token.expose_secret().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn failure() -> Failure {
        Failure::ours(UnknownReason::TokenUnavailable, "the token server is busy")
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let (slot, issuer) = (TokenSlot::default(), Issuer::default());
        let ask = async |seconds| text(slot.current(async || Ok(issuer.issue(seconds))).await);
        assert_eq!(ask(Some(3600)).await, "token-1");
        tokio::time::advance(Duration::from_secs(3539)).await;
        assert_eq!(ask(Some(10)).await, "token-1");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ask(Some(10)).await, "token-2");
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(ask(Some(10)).await, "token-2");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ask(None).await, "token-3");
        tokio::time::advance(Duration::from_mins(4) - Duration::from_secs(1)).await;
        assert_eq!(ask(None).await, "token-3");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(ask(Some(0)).await, "token-4");
        assert_eq!(ask(Some(u64::MAX)).await, "token-5", "a token of no lifetime serves one request");
        assert_eq!(ask(None).await, "token-5");
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_who_waits_shares_one_fetch() {
        let (slot, issuer) = (TokenSlot::default(), Issuer::default());
        let ask = || async {
            let issue = async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(issuer.issue(None))
            };
            text(slot.current(issue).await)
        };
        let found = futures_util::future::join_all((0..20).map(|_| ask())).await;
        assert_eq!((found.iter().all(|token| token == "token-1"), issuer.issued()), (true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_and_asked_again_only_after_a_pause() {
        let (slot, asked) = (TokenSlot::default(), AtomicU32::new(0));
        let ask = || {
            slot.current(async || {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(15)).await;
                Err(failure())
            })
        };
        for found in futures_util::future::join_all((0..20).map(|_| ask())).await {
            assert_eq!(found.unwrap_err(), failure());
        }
        assert_eq!(ask().await.unwrap_err(), failure());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(FAILURE_KEPT).await;
        assert_eq!(ask().await.unwrap_err(), failure());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_outlives_a_token_server_that_fails() {
        let (slot, issuer) = (TokenSlot::default(), Issuer::default());
        assert_eq!(text(slot.current(async || Ok(issuer.issue(Some(600)))).await), "token-1");
        tokio::time::advance(Duration::from_secs(550)).await;
        assert_eq!(text(slot.current(async || Err(failure())).await), "token-1", "it is valid for 50 s more");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(slot.current(async || Err(failure())).await.unwrap_err(), failure());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_renewed_once_a_minute() {
        let (slot, issuer) = (TokenSlot::default(), Issuer::default());
        let ask = async || slot.current(async || Ok(issuer.issue(None))).await.unwrap().1;
        let first = ask().await;
        assert!(slot.refused(first).await);
        let second = ask().await;
        assert_ne!(first, second);
        assert!(slot.refused(first).await, "somebody else renewed it already");
        assert_eq!(ask().await, second);
        assert!(!slot.refused(second).await, "a new token was refused as well");
        assert_eq!(ask().await, second);
        tokio::time::advance(RENEWED_AT_MOST_EVERY).await;
        assert!(slot.refused(second).await);
    }

    #[tokio::test]
    async fn equal_credentials_share_a_slot_and_dead_ones_go() {
        let (cache, issuer) = (TokenCache::default(), Issuer::default());
        let slot = cache.slot(&["a", "bc"]);
        assert!(Arc::ptr_eq(&slot, &cache.slot(&["a", "bc"])));
        assert!(!Arc::ptr_eq(&slot, &cache.slot(&["ab", "c"])));
        slot.current(async || Ok(issuer.issue(None))).await.unwrap();
        drop(slot);
        assert_eq!(text(cache.slot(&["a", "bc"]).current(async || Ok(issuer.issue(None))).await), "token-1");
        assert_eq!(cache.slots.lock().unwrap().len(), 1, "the slot that nobody uses and that holds nothing is gone");
    }
}
