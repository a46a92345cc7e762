//! The real window under the driver of `WebKit`.
//!
//! What it hides: the driver's process and port, looking again until the page is as expected, and ending everything. What
//! must stay true: every wait has a bound and says what it waited for; the app and the driver end with their [`Window`].

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the page may take to show something that needs no work. Two cores may be busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// How long something that the engine has to find out or do may take.
pub(crate) const LATER: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A person's folders: the database, the logs, what the window itself keeps. Outlives the window.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("pilothouse.db")
    }

    /// Everything in it: the database with its WAL, logs, the window's own storage.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file that driver and app write their messages to.
    pub(crate) fn messages(&self) -> PathBuf {
        self.folder.path().join("messages.log")
    }
}

/// The keyring that the app finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyring {
    /// That of the session the tests run in, unlocked.
    OfTheSession,
    /// No session bus at all.
    Absent,
    /// A keyring that nobody unlocked, on a bus of its own.
    Locked,
}

/// An open window.
pub(crate) struct Window {
    client: Client,
    messages: PathBuf,
    // Ends the driver, and with it the app.
    driver: Driver,
}

struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.0.wait().ok();
    }
}

impl Window {
    /// Opens the app on a home's database.
    pub(crate) async fn open(home: &Home) -> Self {
        Self::open_with(home, Keyring::OfTheSession).await
    }

    /// Opens the app on a home's database, with another keyring than the session's.
    pub(crate) async fn open_with(home: &Home, keyring: Keyring) -> Self {
        let app = std::env::var_os("PILOTHOUSE_APP").unwrap_or_else(|| {
            panic!("the window tests need a display, a keyring and the app; run `cargo xtask test --only window`")
        });
        let (mut driver, port) = start_driver(home, keyring);
        let mut capabilities = serde_json::Map::new();
        let arguments = ["--db".into(), home.database().to_str().unwrap().to_owned()];
        let options = json!({ "binary": app.to_str().unwrap(), "args": arguments });
        capabilities.insert("webkitgtk:browserOptions".into(), options);
        let started = Instant::now();
        let client = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(capabilities.clone()).connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(client) => break client,
                Err(error) => {
                    let ended = driver.0.try_wait().unwrap();
                    assert!(
                        ended.is_none() && started.elapsed() < SOON,
                        "no window: {error}; driver: {ended:?}; messages:\n{}",
                        tail(&home.messages())
                    );
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let window = Self { client, messages: home.messages(), driver };
        window.shows("nav-fleet").await;
        window
    }

    /// Closes it in order, as a person does, and waits until the app has ended.
    pub(crate) async fn close(self) {
        let app = self.app_process();
        let Self { client, driver, .. } = self;
        // The driver ends the app when the session ends.
        client.close().await.unwrap();
        let ended = pilothouse_testkit::wait_until(SOON, || !lives(app)).await;
        assert!(ended, "the app did not end with its window");
        drop(driver);
    }

    /// Whether an element with this test id is there within [`SOON`]; panics when it is not.
    pub(crate) async fn shows(&self, id: &str) {
        self.until(&format!("`{id}` is shown"), SOON, async || self.has(id).await.then_some(())).await;
    }

    /// Whether an element with this test id is there now.
    pub(crate) async fn has(&self, id: &str) -> bool {
        self.eval("return document.querySelector(arguments[0]) !== null", vec![json!(selector(id))]).await
            == json!(true)
    }

    /// The visible text of an element; empty when it is not there.
    pub(crate) async fn text(&self, id: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        self.eval(script, vec![json!(selector(id))]).await.as_str().unwrap_or_default().trim().to_owned()
    }

    /// An attribute of an element; empty when it is not there.
    pub(crate) async fn attribute(&self, id: &str, name: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? ''";
        let value = self.eval(script, vec![json!(selector(id)), json!(name)]).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks, as soon as that can be done.
    pub(crate) async fn click(&self, id: &str) {
        self.click_css(&selector(id)).await;
    }

    /// Clicks what a selector finds first.
    pub(crate) async fn click_css(&self, selector: &str) {
        let found = async || {
            let element = self.client.find(Locator::Css(selector)).await.ok()?;
            element.is_enabled().await.ok().filter(|enabled| *enabled)?;
            self.scroll_to(selector).await;
            // Between finding and clicking the page may have replaced it: then look again.
            element.click().await.ok()
        };
        self.until(&format!("`{selector}` can be clicked"), SOON, found).await;
    }

    /// Scrolls to what a selector finds first: the driver itself scrolls just so far that a bar may still lie over it.
    async fn scroll_to(&self, selector: &str) {
        let script = "document.querySelector(arguments[0])?.scrollIntoView({ block: 'center' })";
        self.eval(script, vec![json!(selector)]).await;
    }

    /// Types into a field, as keys.
    pub(crate) async fn type_into(&self, id: &str, text: &str) {
        let selector = selector(id);
        // A field that is just being unfolded cannot be typed into yet.
        let typed = async || {
            let field = self.client.find(Locator::Css(&selector)).await.ok()?;
            self.scroll_to(&selector).await;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()?;
            (field.prop("value").await.ok()?.as_deref() == Some(text)).then_some(())
        };
        self.until(&format!("`{id}` holds what was typed"), SOON, typed).await;
    }

    /// Chooses an option of a drop-down by its value.
    pub(crate) async fn choose(&self, id: &str, value: &str) {
        self.element(id).await.select_by_value(value).await.unwrap();
    }

    /// Waits until a condition on a text or attribute holds, and gives it.
    pub(crate) async fn until_text(&self, id: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let found = async || Some(self.text(id).await).filter(|text| wanted(text));
        self.until(&format!("the text of `{id}` is as expected"), limit, found).await
    }

    /// Waits until an endpoint's shape says this state.
    pub(crate) async fn until_state(&self, endpoint: &str, state: &str) {
        let id = format!("state-{endpoint}");
        let found = async || (self.attribute(&id, "data-state").await == state).then_some(());
        self.until(&format!("`{endpoint}` is {state}"), LATER, found).await;
    }

    /// Waits until the picture inside an element is decoded and has a size.
    pub(crate) async fn until_picture(&self, id: &str) {
        let script = "return [...document.querySelectorAll(arguments[0] + ' img')].some((i) => i.complete && i.naturalWidth > 0)";
        let css = json!(selector(id));
        let found = async || (self.eval(script, vec![css.clone()]).await == json!(true)).then_some(());
        self.until(&format!("`{id}` holds a picture"), LATER, found).await;
    }

    /// Looks again and again until `look` finds something. Panics after `limit` with what is on the page.
    pub(crate) async fn until<T>(&self, what: &str, limit: Duration, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() >= limit {
                self.give_up(what, limit).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn give_up(&self, what: &str, limit: Duration) -> ! {
        let page = self.eval("return document.body.innerText", Vec::new()).await;
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("window-{}.png", std::process::id()));
        let written = match std::fs::write(&picture, self.picture().await) {
            Ok(()) => picture.display().to_string(),
            Err(error) => error.to_string(),
        };
        panic!(
            "waited {} s in vain until {what}.\n--- page ---\n{}\n--- picture ---\n{written}\n--- messages ---\n{}",
            limit.as_secs(),
            page.as_str().unwrap_or_default(),
            tail(&self.messages),
        );
    }

    /// Runs a script in the page and gives what it returns.
    pub(crate) async fn eval(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Calls a command from the page, as a script that got into it would: `Ok` with the answer, `Err` with the refusal.
    pub(crate) async fn invoke(&self, command: &str, payload: Value) -> Result<Value, String> {
        let script = "const done = arguments[arguments.length - 1];
            window.__TAURI_INTERNALS__.invoke(arguments[0], arguments[1]).then(
              (value) => done({ ok: value ?? null }),
              (error) => done({ refused: typeof error === 'string' ? error : JSON.stringify(error) }))";
        let answer = self.client.execute_async(script, vec![json!(command), payload]).await.unwrap();
        match answer.get("refused").and_then(Value::as_str) {
            Some(refusal) => Err(refusal.to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }

    /// What the window shows, as PNG. The driver takes it when the page paints next, and a page at rest never does: a
    /// nearly invisible pixel in the corner keeps it painting meanwhile.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let start = "const pixel = document.createElement('i');
            Object.assign(pixel.style, { position: 'fixed', right: 0, bottom: 0, width: '1px', height: '1px' });
            document.body.append(pixel);
            let odd = false;
            const timer = setInterval(() => { pixel.style.background = (odd = !odd) ? '#80808001' : '#80808002' }, 30);
            window.stopPainting = () => { clearInterval(timer); pixel.remove() }";
        self.eval(start, Vec::new()).await;
        let picture = self.client.screenshot().await;
        self.eval("window.stopPainting()", Vec::new()).await;
        picture.unwrap_or_else(|error| panic!("no picture of the window: {error}"))
    }

    /// Waits for what a script's promise gives; it finds its one argument in `arguments[0]`.
    pub(crate) async fn eval_async(&self, promise: &str, argument: Value) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; Promise.resolve({promise}).then(done)");
        self.client.execute_async(&script, vec![argument]).await.unwrap_or_else(|error| panic!("{promise}: {error}"))
    }

    /// Moves the pointer where it highlights nothing.
    pub(crate) async fn point_at_nothing(&self) {
        let corner = PointerAction::MoveTo { duration: None, x: 90.0, y: 600.0 };
        self.client.perform_actions(MouseActions::new("mouse".into()).then(corner)).await.unwrap();
    }

    /// Where the page stands.
    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    /// The process id of the app.
    pub(crate) fn app_process(&self) -> u32 {
        let app = PathBuf::from(std::env::var_os("PILOTHOUSE_APP").unwrap()).canonicalize().unwrap();
        let mut found = processes_of_group(self.driver.0.id());
        found.retain(|process| std::fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == app));
        assert_eq!(found.len(), 1, "the driver runs one app");
        found[0]
    }

    /// The processes of the window: the driver, the app, and those of `WebKit`.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes_of_group(self.driver.0.id())
    }

    async fn element(&self, id: &str) -> Element {
        let selector = selector(id);
        let found = async || self.client.find(Locator::Css(&selector)).await.ok();
        self.until(&format!("`{id}` is there"), SOON, found).await
    }
}

/// The selector of a test id.
fn selector(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}

fn start_driver(home: &Home, keyring: Keyring) -> (Driver, u16) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let driver = format!("exec WebKitWebDriver --host=127.0.0.1 --port={port}");
    let script = match keyring {
        Keyring::OfTheSession | Keyring::Absent => driver,
        Keyring::Locked => {
            // A first session makes a keyring with a passphrase; the one that the app runs in has it locked.
            let make = "printf passphrase | gnome-keyring-daemon --unlock --components=secrets >/dev/null";
            let start = "gnome-keyring-daemon --start --components=secrets >/dev/null";
            format!("dbus-run-session -- sh -c '{make}'; exec dbus-run-session -- sh -c '{start}; {driver}'")
        }
    };
    let messages = std::fs::File::options().create(true).append(true).open(home.messages()).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(messages.try_clone().unwrap())
        .stderr(messages)
        .env("TAURI_WEBVIEW_AUTOMATION", "true")
        .env("XDG_DATA_HOME", home.path().join("data"))
        .env("XDG_CACHE_HOME", home.path().join("cache"))
        .env("NO_PROXY", "127.0.0.1,localhost");
    if keyring != Keyring::OfTheSession {
        let runtime = home.path().join("runtime");
        std::fs::create_dir_all(&runtime).unwrap();
        std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        command.env("XDG_RUNTIME_DIR", &runtime).env_remove("DBUS_SESSION_BUS_ADDRESS");
    }
    (Driver(command.spawn().unwrap()), port)
}

/// The ids of all processes in a process group.
fn processes_of_group(group: u32) -> Vec<u32> {
    let group = group.to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent, group (proc(5)).
        stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().nth(2) == Some(group.as_str())
    })
    .collect()
}

/// Whether a process runs: it is there, and not only as what its parent has yet to collect.
fn lives(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The end of a log file.
fn tail(file: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
