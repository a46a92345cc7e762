//! From a name to addresses, by the system's resolver (`getaddrinfo`, POSIX.1-2024).
//!
//! What it hides: the resolver's codes, which the standard library keeps to itself; their texts are translated and cannot
//! be told apart. What must stay true: that a name has no address is the endpoint's failure; that nobody could say so is
//! ours.

use std::io;
use std::net::SocketAddr;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use pilothouse_domain::UnknownReason;
use tokio::time::{Instant, timeout_at};

use super::failure::{self, Failure, network_is_up};

/// Every address of a name, in the resolver's order, each once.
pub(super) async fn addresses(name: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    let asked = name.to_owned();
    // The resolver blocks its thread; one that never answers holds that thread until it gives up by itself.
    let found = timeout_at(deadline, tokio::task::spawn_blocking(move || look_up(&asked, port))).await;
    let addresses = match found {
        Err(_) => return Err(unresolved(name, "no answer within the time limit", network_is_up())),
        Ok(Err(error)) => return Err(Failure::ours(UnknownReason::Internal, format!("looking up `{name}`: {error}"))),
        Ok(Ok(Err(error))) => return Err(of_lookup(error, name, network_is_up())),
        Ok(Ok(Ok(addresses))) => addresses,
    };
    let mut unique = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    if unique.is_empty() {
        return Err(failure::of_dns(&io::Error::other("no address"), name, network_is_up()));
    }
    Ok(unique)
}

fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(name), None, Some(hints))?;
    // An address of a family that is not of the internet is none for us.
    let with_port = |mut address: SocketAddr| {
        address.set_port(port);
        address
    };
    Ok(found.filter_map(Result::ok).map(|info| with_port(info.sockaddr)).collect())
}

fn of_lookup(error: LookupError, name: &str, network_is_up: bool) -> Failure {
    let kind = error.kind();
    let error = io::Error::from(error);
    match kind {
        // A server failure of the zone itself (SERVFAIL) has the code of a resolver that is not there.
        LookupErrorKind::Again | LookupErrorKind::Fail => unresolved(name, &error.to_string(), network_is_up),
        LookupErrorKind::Memory => failure::of_dns(&io::ErrorKind::OutOfMemory.into(), name, network_is_up),
        LookupErrorKind::System | LookupErrorKind::IO => {
            failure::of_own_resources(&error).unwrap_or_else(|| unresolved(name, &error.to_string(), network_is_up))
        }
        _ => failure::of_dns(&error, name, network_is_up),
    }
}

/// Nobody said whether the name has an address.
fn unresolved(name: &str, why: &str, network_is_up: bool) -> Failure {
    if network_is_up {
        let advice = "check the name servers of this machine";
        Failure::ours(
            UnknownReason::ResolverFailed,
            format!("the name `{name}` could not be looked up: {why}; {advice}"),
        )
    } else {
        failure::of_dns(&io::ErrorKind::TimedOut.into(), name, false)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use pilothouse_domain::{Outcome, TargetFailure};

    use super::*;

    #[test]
    fn a_name_without_an_address_is_told_from_a_resolver_without_an_answer() {
        let up = |code: i32| of_lookup(LookupError::new(code), "model.example", true).outcome;
        let down = |code: i32| of_lookup(LookupError::new(code), "model.example", false).outcome;
        // The codes of the system's own header, by asking the library in the other direction.
        let code_of = |is_wanted: fn(LookupErrorKind) -> bool| {
            (-20..20).find(|code| is_wanted(LookupErrorKind::new(*code))).expect("every Unix has this code")
        };
        let no_name = code_of(|kind| matches!(kind, LookupErrorKind::NoName));
        let again = code_of(|kind| matches!(kind, LookupErrorKind::Again));
        let fail = code_of(|kind| matches!(kind, LookupErrorKind::Fail));
        assert_eq!(up(no_name), Outcome::TargetFailed(TargetFailure::DnsFailed));
        assert_eq!(up(again), Outcome::Unknown(UnknownReason::ResolverFailed));
        assert_eq!(up(fail), Outcome::Unknown(UnknownReason::ResolverFailed));
        for code in [no_name, again, fail] {
            assert_eq!(down(code), Outcome::Unknown(UnknownReason::NoNetwork));
        }
        assert_eq!(
            up(code_of(|kind| matches!(kind, LookupErrorKind::Memory))),
            Outcome::Unknown(UnknownReason::Internal)
        );
    }

    #[tokio::test]
    async fn names_of_this_machine_are_found_with_the_port() {
        let deadline = Instant::now() + std::time::Duration::from_mins(1);
        let found = addresses("localhost", 8_080, deadline).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 8_080), "{found:?}");
        // A name that no resolver may be asked for (RFC 6761 §6.4), and one that cannot be one.
        for name in ["no-such-model.invalid", "nul\0byte"] {
            assert!(addresses(name, 80, deadline).await.is_err());
        }
    }
}
