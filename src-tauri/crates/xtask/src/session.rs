//! A desktop session for a window on a machine without one: virtual display, D-Bus, and for tests an unlocked keyring
//! in folders of its own.
//!
//! What must stay true: a test session never touches the person's keyring, settings or data; everything it started is
//! ended and its folders are removed when it is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::display::Display;
use crate::process;

/// The screen of tests and pictures, in pixels: the size at which every screen must answer without a scroll.
pub(crate) const SCREEN: (u32, u32) = (1280, 800);

/// Unlocks a new keyring with a passphrase from the environment, waits until it is on the bus (else the first caller
/// would have the bus start a second, locked one), then becomes the wrapped command. The daemon goes to the background by
/// itself and ends with the session's bus.
const UNLOCK_THEN_RUN: &str = r#"printf %s "$PILOTHOUSE_KEYRING_PASSPHRASE" \
  | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1 \
  || { echo 'error: gnome-keyring-daemon did not start' >&2; exit 1; }
unset PILOTHOUSE_KEYRING_PASSPHRASE
tries=0
until dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
    org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q 'boolean true'; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { echo 'error: gnome-keyring-daemon did not come to the bus' >&2; exit 1; }
  sleep 0.1
done
exec "$@""#;

/// A display and private folders for window tests.
pub(crate) struct TestSession {
    // Dropped first: the X server writes into the folder.
    display: Display,
    folder: PrivateFolder,
}

impl TestSession {
    /// Starts the display and makes the folders.
    pub(crate) fn start() -> Result<Self> {
        let folder = PrivateFolder::create("window")?;
        let display = Display::start(&folder.0.join("display"), SCREEN.0, SCREEN.1)?;
        for name in ["data", "config", "cache", "state", "runtime"] {
            PrivateFolder::create_at(&folder.0.join(name))?;
        }
        Ok(Self { display, folder })
    }

    /// `command`, to be run inside the session: its own bus, an unlocked keyring, this display, empty folders.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("dbus-run-session");
        wrapped.args(["--", "sh", "-c", UNLOCK_THEN_RUN, "sh"]);
        append(&mut wrapped, command);
        wrapped.env("PILOTHOUSE_KEYRING_PASSPHRASE", "a passphrase of this session");
        for (variable, name) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "runtime"),
        ] {
            wrapped.env(variable, self.folder.0.join(name));
        }
        wrapped.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("GNOME_KEYRING_CONTROL");
        self.display.apply(&mut wrapped);
        software_rendering(&mut wrapped);
        locale(&mut wrapped);
        wrapped
    }
}

/// `command` inside a D-Bus session when there is none here and the tool is; the app's keyring needs one.
pub(crate) fn with_bus(command: Command) -> Command {
    let has_bus = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty());
    if has_bus || process::find_program("dbus-run-session").is_none() {
        return command;
    }
    let mut wrapped = Command::new("dbus-run-session");
    wrapped.arg("--");
    append(&mut wrapped, &command);
    wrapped
}

/// Hands the program, arguments, folder and variables of `inner` to `outer`.
fn append(outer: &mut Command, inner: &Command) {
    outer.arg(inner.get_program()).args(inner.get_args());
    if let Some(folder) = inner.get_current_dir() {
        outer.current_dir(folder);
    }
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
}

/// On software GL this saves a third of the memory and most of the processor time.
pub(crate) fn software_rendering(command: &mut Command) {
    command.env("WEBKIT_DISABLE_DMABUF_RENDERER", "1");
}

/// A locale with a language. `WebKit` takes the page's language from the locale's name: under `C.UTF-8`, the default of
/// many containers, it becomes the invalid tag `C`, on which `Intl` throws. A name that is not installed does no harm.
pub(crate) fn locale(command: &mut Command) {
    command.env("LANG", "en_US.UTF-8").env_remove("LANGUAGE").env_remove("LC_ALL").env_remove("LC_CTYPE");
}

/// A folder only we can enter, removed when dropped. Its path is short: sockets live in it, and their paths are limited to
/// 107 bytes.
pub(crate) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes it in the system's temporary folder, named after this process.
    pub(crate) fn create(purpose: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("pilothouse-{purpose}-{}", std::process::id()));
        Self::create_at(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn create_at(folder: &Path) -> Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).with_context(|| format!("cannot create `{}`", folder.display()))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_arguments_folder_and_variables() {
        let mut inner = Command::new("cargo");
        inner.args(["test", "a b"]).current_dir("/").env("KEPT", "1").env_remove("GONE");
        let mut outer = Command::new("wrapper");
        append(&mut outer, &inner);
        let arguments: Vec<_> = outer.get_args().collect();
        assert_eq!(arguments, ["cargo", "test", "a b"]);
        assert_eq!(outer.get_current_dir(), Some(Path::new("/")));
        let variables: Vec<_> = outer.get_envs().collect();
        assert_eq!(variables, [("GONE".as_ref(), None), ("KEPT".as_ref(), Some("1".as_ref()))]);
    }

    /// Needs the packages xvfb, dbus and gnome-keyring, which `cargo xtask test` installs.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_session_has_a_display_an_unlocked_keyring_and_folders_of_its_own() {
        let session = TestSession::start().unwrap();
        assert!(!session.display.picture().unwrap().is_painted());
        let mut ask = Command::new("sh");
        ask.args([
            "-c",
            "echo \"data $XDG_DATA_HOME\"; echo \"display $DISPLAY\"
             dbus-send --session --print-reply --dest=org.freedesktop.secrets \\
               /org/freedesktop/secrets/collection/login org.freedesktop.DBus.Properties.Get \\
               string:org.freedesktop.Secret.Collection string:Locked",
        ]);
        let (lines, result) = process::run_keeping(&mut session.wrap(&ask), |_| true);
        result.unwrap();
        let has = |needle: &str| lines.iter().any(|line| line.contains(needle));
        assert!(has("boolean false"), "the keyring is not unlocked: {lines:?}");
        assert!(has(&format!("data {}", session.folder.path().display())), "{lines:?}");
        assert!(has(&format!("display {}", session.display.name())), "{lines:?}");
        let folder = session.folder.path().to_path_buf();
        drop(session);
        assert!(!folder.exists());
    }

    #[test]
    fn a_private_folder_is_removed() {
        let folder = PrivateFolder::create("test").unwrap();
        let path = folder.path().to_path_buf();
        std::fs::write(path.join("file"), "").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
