//! OpenSSH's files of known hosts: which keys they record for one host, and which they revoke.
//!
//! Format: sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT", OpenSSH 9.2, read by the `ssh-key` crate and matched here. What must
//! stay true: a line that cannot be read trusts nobody; a certificate authority trusts nobody either, since no host
//! certificates are asked for.

use std::path::PathBuf;

use pilothouse_domain::UnknownReason;
use ring::hmac;
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};

use super::place;
use crate::transport::failure::Failure;

/// Keys that stand in files for one host.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded {
    pub(super) keys: Vec<PublicKey>,
    pub(super) revoked: Vec<PublicKey>,
}

impl Recorded {
    /// Adds what a file says of a host, by its name as the files have it.
    fn add(&mut self, text: &str, host: &str) {
        for line in text.lines() {
            // Blanks are whatever a person typed; the crate wants exactly one.
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Ok(entry) = line.parse::<Entry>() else { continue };
            if !matches(entry.host_patterns(), host) {
                continue;
            }
            match entry.marker() {
                None => self.keys.push(entry.public_key().clone()),
                Some(Marker::Revoked) => self.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
    }
}

/// Reads the user's file and that of the system. A file that is not there says nothing.
pub(super) async fn read(host: &str, port: u16) -> Result<Recorded, Failure> {
    let (shown, name) = (place(host, port), name_in_files(host, port));
    let read = move || {
        let mut recorded = Recorded::default();
        for file in files() {
            match std::fs::read(&file) {
                // Comments may hold any bytes.
                Ok(bytes) => recorded.add(&String::from_utf8_lossy(&bytes), &name),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", file.display())),
            }
        }
        Ok(recorded)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(error.to_string())).map_err(|problem| {
        let text = format!("the known keys of {shown} cannot be read: {problem}");
        Failure::ours(UnknownReason::Misconfigured, text)
    })
}

fn files() -> Vec<PathBuf> {
    let own = std::env::home_dir().map(|home| home.join(".ssh").join("known_hosts"));
    own.into_iter().chain(cfg!(unix).then(|| PathBuf::from("/etc/ssh/ssh_known_hosts"))).collect()
}

/// The port stands there unless it is the usual one; names are in small letters (OpenSSH, `put_host_port`).
fn name_in_files(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

fn matches(patterns: &HostPatterns, host: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, host.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let (refused, wanted): (Vec<&str>, Vec<&str>) =
                patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
            wanted.iter().any(|pattern| fits(pattern, host)) && !refused.iter().any(|pattern| fits(&pattern[1..], host))
        }
    }
}

/// `*` stands for any characters, `?` for one (OpenSSH, `match_pattern`).
fn fits(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.as_bytes());
    let pattern = pattern.as_bytes();
    let (mut p, mut h) = (0, 0);
    // Where the last `*` stands, and up to where it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while h < host.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, h));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == host[h]) {
            p += 1;
            h += 1;
        } else if let Some((at, reach)) = star {
            star = Some((at, reach + 1));
            p = at + 1;
            h = reach + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn found(text: &str, host: &str, port: u16) -> (usize, usize) {
        let mut recorded = Recorded::default();
        recorded.add(text, &name_in_files(host, port));
        (recorded.keys.len(), recorded.revoked.len())
    }

    #[test]
    fn lines_name_hosts_as_openssh_reads_them() {
        let check = |hosts: &str, host: &str, port: u16, expect: bool| {
            assert_eq!(found(&format!("{hosts} {KEY}"), host, port).0, usize::from(expect), "{hosts} {host}:{port}");
        };
        check("jump.example", "jump.example", 22, true);
        check("jump.example", "JUMP.example", 22, true);
        check("jump.example", "jump.example", 2222, false);
        check("[jump.example]:2222", "jump.example", 2222, true);
        check("[fd00::1]:2222,192.0.2.1", "fd00::1", 2222, true);
        check("[fd00::1]:2222,192.0.2.1", "192.0.2.1", 22, true);
        check("*.example", "jump.example", 22, true);
        check("*.example", "example", 22, false);
        check("j?mp.*", "jump.example", 22, true);
        check("*.example,!jump.example", "jump.example", 22, false);
        check("!jump.example", "other.example", 22, false);
        check("[*.example]:2222", "jump.example", 2222, true);
        check("*a*b*c", "xxaxbxbxc", 22, true);
        check("*a*b*c", "xxaxbxbxcd", 22, false);
    }

    #[test]
    fn hashed_names_are_recognised() {
        // As `ssh-keygen -H` of OpenSSH 9.2 wrote them for `jump.example` and `[jump.example]:2222`.
        for (hosts, host, port) in [
            ("|1|aNlHBti6KSV/OuHHsBVjGwAIJE4=|e85vGgGmd6XBvKepZyl9h4PD6Ac=", "jump.example", 22),
            ("|1|uzPCiEg3S2CIfSkbzkQkt9QgUbo=|xPfkVlF+cqD//xQB1qHvJtMdVb4=", "jump.example", 2222),
        ] {
            assert_eq!(found(&format!("{hosts} {KEY}"), host, port).0, 1, "{hosts}");
            assert_eq!(found(&format!("{hosts} {KEY}"), host, 2200).0, 0, "{hosts}");
            assert_eq!(found(&format!("{hosts} {KEY}"), "other.example", port).0, 0, "{hosts}");
        }
    }

    #[test]
    fn markers_and_broken_lines_trust_nobody() {
        assert_eq!(found(&format!("@revoked *.example {KEY}"), "jump.example", 22), (0, 1));
        assert_eq!(found(&format!("@cert-authority * {KEY}"), "jump.example", 22), (0, 0));
        assert_eq!(found(&format!("@other * {KEY}"), "jump.example", 22), (0, 0));
        let text = format!("# jump.example {KEY}\n\n* ssh-ed25519 AAAA\n*\njump.example\t {KEY}   a comment #1\r\n");
        assert_eq!(found(&text, "jump.example", 22), (1, 0));
    }

    proptest! {
        /// Law: any text is read without a panic, and nobody is trusted by a text without a key.
        #[test]
        fn any_text_is_read(text in "[ -~\n\t|@*!,\\[\\]]{0,300}", host in "[a-z.*?:]{1,20}", port in any::<u16>()) {
            prop_assert_eq!(found(&text, &host, port), (0, 0));
        }

        /// Law: a pattern without wildcards fits itself alone, and `*` fits everything.
        #[test]
        fn a_plain_pattern_fits_itself(host in "[a-z0-9.-]{1,20}", other in "[a-z0-9.-]{1,20}") {
            prop_assert!(fits(&host, &host) && fits("*", &host));
            prop_assert_eq!(fits(&host, &other), host == other);
        }
    }
}
