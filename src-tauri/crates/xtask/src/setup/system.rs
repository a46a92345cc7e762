//! System packages: on Debian and Ubuntu the missing ones are named, then installed; elsewhere they are named.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::setup::{Needs, python};

/// The packages of Debian 12+ and Ubuntu 22.04+ behind each need. `WebKitGTK` brings GTK; the keyring crate speaks D-Bus
/// itself and needs no library.
fn packages(needs: Needs, python: &[String]) -> Vec<String> {
    let groups: [(bool, &[&str]); 6] = [
        (needs.app, &["build-essential", "pkg-config", "libwebkit2gtk-4.1-dev"]),
        (needs.virtual_display, &["xvfb", "dbus"]),
        (needs.keyring, &["dbus", "dbus-x11", "gnome-keyring"]),
        (needs.web_driver, &["webkit2gtk-driver"]),
        // Keys and an agent for the jump host of the tests.
        (needs.servers, &["openssh-client"]),
        // TorchServe is a Java program.
        (needs.heavy_servers, &["default-jre-headless"]),
    ];
    let chosen = groups.into_iter().filter(|(needed, _)| *needed).flat_map(|(_, names)| names);
    let mut names: Vec<String> = chosen.map(ToString::to_string).chain(python.iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Installs what is missing, or says what to install.
pub(crate) fn install(needs: Needs) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!(
            "system: not Linux; Tauri's prerequisites for this system are at https://tauri.app/start/prerequisites/"
        );
        return Ok(());
    }
    let python = if needs.servers || needs.heavy_servers { python::system_packages() } else { Vec::new() };
    let names = packages(needs, &python);
    if names.is_empty() {
        return Ok(());
    }
    if process::find_program("dpkg-query").is_none() || process::find_program("apt-get").is_none() {
        println!(
            "system: not Debian or Ubuntu; install the equivalents of these Debian packages if they are missing: {}",
            names.join(" ")
        );
        return Ok(());
    }
    let missing = missing(&names);
    if missing.is_empty() {
        println!("system packages: present");
        return Ok(());
    }
    let prefix: &[&str] = if is_root() { &[] } else { &["sudo"] };
    let commands = apt_commands(prefix, &missing);
    println!("system packages missing: {}", missing.join(" "));
    println!("installing with:");
    for command in &commands {
        println!("  {}", command.join(" "));
    }
    if !is_root() && process::find_program("sudo").is_none() {
        bail!("cannot install packages: you are not root and there is no `sudo`; run the commands above as root");
    }
    for command in &commands {
        let mut child = Command::new(&command[0]);
        child.args(&command[1..]);
        if let Err(error) = process::run(&mut child) {
            bail!("{error}\nhint: run the commands above by hand, then start again");
        }
    }
    let still = self::missing(&names);
    if !still.is_empty() {
        bail!("apt-get ended well, but these packages are still missing: {}", still.join(" "));
    }
    Ok(())
}

fn apt_commands(prefix: &[&str], missing: &[String]) -> [Vec<String>; 2] {
    // `env` and not our own environment: sudo drops variables.
    let start = |rest: &[&str]| -> Vec<String> {
        prefix
            .iter()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"].iter())
            .chain(rest)
            .map(ToString::to_string)
            .collect()
    };
    let mut install = start(&["install", "--yes", "--no-install-recommends"]);
    install.extend(missing.iter().cloned());
    [start(&["update"]), install]
}

/// A command with the rights to change the system: by itself for root, else through `sudo`.
pub(super) fn as_root(words: &[&str]) -> Command {
    let words: Vec<&str> = if is_root() { words.to_vec() } else { [&["sudo"], words].concat() };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn missing(names: &[String]) -> Vec<String> {
    // dpkg-query fails when any name is unknown to it but still lists the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(names)
        .output();
    let listing = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    not_installed(names, &listing)
}

fn not_installed(names: &[String], listing: &str) -> Vec<String> {
    names
        .iter()
        .filter(|name| !listing.lines().any(|line| line.strip_prefix("installed ") == Some(name.as_str())))
        .cloned()
        .collect()
}

fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let listing = "installed xvfb\nconfig-files dbus\nnot-installed xauth\n";
        let names = ["dbus", "xauth", "xvfb", "zzz"].map(str::to_owned);
        assert_eq!(not_installed(&names, listing), ["dbus", "xauth", "zzz"]);
    }

    #[test]
    fn packages_follow_the_needs() {
        assert!(packages(Needs::default(), &[]).is_empty());
        let run = packages(Needs { app: true, ui: true, ..Needs::default() }, &[]);
        assert_eq!(run, ["build-essential", "libwebkit2gtk-4.1-dev", "pkg-config"]);
        let test =
            packages(Needs { virtual_display: true, keyring: true, ..Needs::default() }, &["python3-venv".to_owned()]);
        assert_eq!(test, ["dbus", "dbus-x11", "gnome-keyring", "python3-venv", "xvfb"]);
    }

    #[test]
    fn the_printed_command_works_through_sudo() {
        let [update, install] = apt_commands(&["sudo"], &["xvfb".to_owned()]);
        assert_eq!(update.join(" "), "sudo env DEBIAN_FRONTEND=noninteractive apt-get update");
        assert_eq!(
            install.join(" "),
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends xvfb"
        );
    }
}
