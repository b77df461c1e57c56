//! Clients of the four systems in `tests/clients`, each a program of its own or a page in a browser.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use super::{free_address, within_time};

/// How long a dozen programs and a browser may take on a busy machine.
const SLOW: Duration = Duration::from_secs(60);

/// What a client is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Node with the package `ws`.
    Node,
    /// Python with the package `websockets`.
    Python,
    /// A page in Chromium.
    Browser,
}

impl Language {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Node, Self::Python, Self::Browser];
}

/// Starts clients; the browser is started once for all pages.
pub struct Field {
    browser: Browser,
    /// Where the browser's pages come from.
    pub origin: String,
}

impl Field {
    /// Starts the browser.
    pub fn start() -> Self {
        let files = free_address();
        Self { browser: Browser::start(files), origin: format!("http://{files}") }
    }

    /// Starts a client of a dialect with its options.
    pub async fn open(
        &mut self,
        language: Language,
        dialect: &str,
        options: &Value,
    ) -> FieldClient {
        let name = format!("{dialect} in {language:?}");
        match language {
            Language::Browser => self.browser.open(&name, dialect, options, false).await,
            Language::Node => {
                let script = directory().join("node").join(format!("{dialect}.mjs"));
                run(name, program("node"), &script, options)
            }
            Language::Python => {
                let python = installed("python/.venv/bin/python");
                let script = directory().join("python").join(format!("{dialect}.py"));
                run(name, python, &script, options)
            }
        }
    }

    /// Starts a client in a page of the gateway's own origin.
    pub async fn open_at_home(&mut self, dialect: &str, options: &Value) -> FieldClient {
        self.browser.open(&format!("{dialect} at home"), dialect, options, true).await
    }

    /// Ends the browser, and waits until it is gone.
    pub async fn close(self) {
        let Browser { mut driver, input, .. } = self.browser;
        drop(input);
        let ending = within_time(SLOW, "the browser ends", driver.wait());
        assert!(ending.await.expect("a driver of ours").success(), "the browser's driver failed");
    }
}

/// What a client has told so far: one fact after the other.
pub struct FieldClient {
    name: String,
    facts: watch::Receiver<Vec<Value>>,
    _process: Option<Child>,
}

impl FieldClient {
    /// Waits until the client has received so many messages.
    pub async fn received(&mut self, count: usize) {
        self.wait(|client| client.texts().len() >= count).await;
    }

    /// Waits until the client has received a message with this in it.
    pub async fn heard(&mut self, what: &str) {
        self.wait(|client| client.texts().iter().any(|text| text.contains(what))).await;
    }

    /// Waits until the client has opened so many connections.
    pub async fn opened(&mut self, count: usize) {
        self.wait(|client| client.count("open") >= count).await;
    }

    /// Waits for its verdict, which must be good.
    pub async fn is_content(&mut self) {
        self.wait(|client| client.count("verdict") > 0).await;
        let verdict = self.verdict();
        assert_eq!(verdict["verdict"], "ok", "{}: {verdict} after {:#?}", self.name, self.facts());
    }

    /// Waits for its verdict, which must be bad, and tells the reason.
    pub async fn complains(&mut self) -> String {
        self.wait(|client| client.count("verdict") > 0).await;
        let verdict = self.verdict();
        assert_eq!(verdict["verdict"], "failed", "{} after {:#?}", self.name, self.facts());
        verdict["problem"].as_str().unwrap_or_default().to_owned()
    }

    /// The messages that it received, byte for byte.
    pub fn texts(&self) -> Vec<String> {
        self.all("text").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
    }

    /// How many facts of a kind it has told.
    pub fn count(&self, fact: &str) -> usize {
        self.all(fact).len()
    }

    /// What it has told under a name.
    pub fn all(&self, fact: &str) -> Vec<Value> {
        self.facts().iter().filter_map(|told| told.get(fact).cloned()).collect()
    }

    fn verdict(&self) -> Value {
        let facts = self.facts();
        facts.into_iter().find(|fact| fact.get("verdict").is_some()).expect("a verdict")
    }

    fn facts(&self) -> Vec<Value> {
        self.facts.borrow().clone()
    }

    async fn wait(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + SLOW;
        while !enough(self) {
            let more = tokio::time::timeout_at(deadline, self.facts.changed()).await;
            let heard = more.is_ok_and(|changed| changed.is_ok());
            assert!(heard, "{}: nothing more after {:#?}", self.name, self.facts());
        }
    }
}

/// A Chromium without a window, and the driver that opens pages in it.
struct Browser {
    driver: Child,
    input: ChildStdin,
    pages: Pages,
}

type Pages = Arc<Mutex<HashMap<String, watch::Sender<Vec<Value>>>>>;

impl Browser {
    fn start(files: SocketAddr) -> Self {
        installed("node_modules/playwright-core");
        let mut command = Command::new(program("node"));
        command.arg(directory().join("browser/driver.mjs")).arg(program("chromium"));
        command.arg(files.port().to_string());
        // It ends with its input, and takes the browser along: no kill.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut driver = command.spawn().expect("Node");
        let input = driver.stdin.take().expect("a piped input");
        let output = driver.stdout.take().expect("a piped output");
        let pages = Pages::default();
        let told = Arc::clone(&pages);
        tokio::spawn(for_each_line(output, move |fact| {
            let pages = told.lock().expect("the pages");
            let client = fact["client"].as_str().and_then(|name| pages.get(name));
            client.expect("a client that was opened").send_modify(|facts| facts.push(fact));
        }));
        Self { driver, input, pages }
    }

    async fn open(
        &mut self,
        title: &str,
        dialect: &str,
        options: &Value,
        is_own_origin: bool,
    ) -> FieldClient {
        let exited = self.driver.try_wait().expect("the state of the driver");
        assert!(exited.is_none(), "the browser's driver has ended");
        let (name, facts) = self.enrol(title);
        let request = json!({
            "name": name, "dialect": dialect, "options": options, "isOwnOrigin": is_own_origin,
        });
        let line = format!("{request}\n");
        let asking = self.input.write_all(line.as_bytes());
        within_time(SLOW, "the driver listens", asking).await.expect("a running driver");
        FieldClient { name, facts, _process: None }
    }

    /// Takes a page in under a name of its own.
    fn enrol(&self, title: &str) -> (String, watch::Receiver<Vec<Value>>) {
        let mut pages = self.pages.lock().expect("the pages");
        let name = format!("{title}, page {}", pages.len() + 1);
        let (sender, facts) = watch::channel(Vec::new());
        pages.insert(name.clone(), sender);
        (name, facts)
    }
}

fn run(name: String, program: PathBuf, script: &Path, options: &Value) -> FieldClient {
    installed("node_modules/ws");
    let mut command = Command::new(program);
    command.arg(script).arg(options.to_string()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("a program that is installed");
    let output = process.stdout.take().expect("a piped output");
    let (sender, facts) = watch::channel(Vec::new());
    tokio::spawn(for_each_line(output, move |fact| sender.send_modify(|facts| facts.push(fact))));
    FieldClient { name, facts, _process: Some(process) }
}

async fn for_each_line(output: impl AsyncRead + Unpin, mut take: impl FnMut(Value)) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(serde_json::from_str(&line).unwrap_or_else(|_| json!({ "said": line })));
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Something that `tests/prepare` has made.
fn installed(path: &str) -> PathBuf {
    let whole = directory().join(path);
    assert!(whole.exists(), "tests/clients/{path} is missing: run tests/prepare once");
    whole
}

/// A program of this machine.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|place| place.join(name)).find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run tests/prepare once"))
}
