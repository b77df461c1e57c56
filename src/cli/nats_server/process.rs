//! One running nats-server: started, watched until it answers, stopped, killed, started again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{LocateError, locate};

/// How long a server may take until it answers.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(20);
/// Lines of the server's log that an error carries.
const LOG_TAIL: usize = 20;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no executable.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The data directory cannot be used.
    #[error("cannot use {path} for a NATS server's data: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The executable could not be run.
    #[error("cannot run {path}: {source}")]
    Run {
        /// The executable.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("nats-server ended at once ({status}); its log ends with:\n{log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs, but does not answer as a server with JetStream.
    #[error("nats-server was not ready within {READY_TIMEOUT:?}; its log ends with:\n{log}")]
    NotReady {
        /// The last lines of its log.
        log: String,
    },
}

/// The configuration a server is started with.
#[derive(Debug, Clone)]
pub enum ServerConfig {
    /// The text of a configuration; written into the data directory.
    Text(String),
    /// A configuration file.
    File(PathBuf),
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The executable; `None`: [`locate`] it.
    pub executable: Option<PathBuf>,
    /// The configuration; it has to enable JetStream.
    pub config: ServerConfig,
    /// Directory for streams, log and generated files; created if it is missing.
    pub store_dir: PathBuf,
    /// Port on 127.0.0.1; 0 lets the server choose a free one.
    pub port: u16,
    /// Further arguments of the server.
    pub arguments: Vec<OsString>,
}

impl StartOptions {
    /// The development configuration on a free port, with this data directory.
    pub fn development(store_dir: impl Into<PathBuf>) -> Self {
        Self {
            executable: None,
            config: ServerConfig::Text(super::DEVELOPMENT_CONFIG.into()),
            store_dir: store_dir.into(),
            port: 0,
            arguments: Vec::new(),
        }
    }
}

/// A server of ours. Dropping it kills it.
///
/// It is ready when its port answers and JetStream is on; in a cluster that is before there is a
/// leader. A configuration in which TLS comes before the greeting is not understood here.
#[derive(Debug)]
pub struct NatsServer {
    executable: PathBuf,
    config_file: PathBuf,
    options: StartOptions,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server and waits until it is ready, at most 10 s.
    ///
    /// # Errors
    /// [`StartError`]; the process, if there was one, is gone.
    pub async fn start(options: StartOptions) -> Result<Self, StartError> {
        let executable = match options.executable.clone() {
            Some(executable) => executable,
            None => tokio::task::spawn_blocking(locate).await.unwrap_or_else(|_| {
                Err(LocateError::NotFound(vec!["the search was interrupted".into()]))
            })?,
        };
        let config_file = prepare(&options)
            .map_err(|source| StartError::Directory { path: options.store_dir.clone(), source })?;
        let mut server = Self { executable, config_file, options, child: None };
        server.run().await?;
        Ok(server)
    }

    /// Address for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.options.port)
    }

    /// Port on 127.0.0.1; stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.options.port
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where the server writes its log.
    pub fn log_file(&self) -> PathBuf {
        self.options.store_dir.join("nats-server.log")
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Asks the server to stop and waits; after 10 s it is killed.
    pub async fn stop(&mut self) {
        if let Some(child) = &self.child {
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            let deadline = Instant::now() + STOP_TIMEOUT;
            while !self.has_ended() && Instant::now() < deadline {
                sleep(POLL).await;
            }
        }
        self.kill();
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server again, on the same port with the same data; stops it first if it runs.
    ///
    /// # Errors
    /// As for [`NatsServer::start`].
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        self.run().await
    }

    async fn run(&mut self) -> Result<(), StartError> {
        let child = self
            .spawn()
            .map_err(|source| StartError::Run { path: self.executable.clone(), source })?;
        self.child = Some(child);
        let outcome = self.until_ready().await;
        if outcome.is_err() {
            self.kill();
        }
        outcome
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let port = match self.options.port {
            0 => "-1".into(),
            port => port.to_string(),
        };
        Command::new(&self.executable)
            .args(["--addr", "127.0.0.1", "--port", &port])
            .arg("--config")
            .arg(&self.config_file)
            .arg("--store_dir")
            .arg(&self.options.store_dir)
            .arg("--ports_file_dir")
            .arg(&self.options.store_dir)
            .args(&self.options.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C at the terminal is for us; we stop the server when its users are gone.
            .process_group(0)
            .spawn()
    }

    async fn until_ready(&mut self) -> Result<(), StartError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(StartError::Exited { status, log: self.log_tail() });
            }
            // Asked for even where the port was given: somebody else may listen there, while
            // our process is only about to fail.
            if let Some(port) = self.listening_port()
                && greets_with_jetstream(port).await
            {
                self.options.port = port;
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::NotReady { log: self.log_tail() });
            }
            sleep(POLL).await;
        }
    }

    /// Address for WebSockets, if the configuration has a listener for them.
    pub fn websocket(&self) -> Option<SocketAddr> {
        address(self.ports()?.websocket.first()?)
    }

    fn listening_port(&self) -> Option<u16> {
        Some(address(self.ports()?.nats.first()?)?.port())
    }

    /// The file that the server writes, under its process id, when it listens.
    fn ports(&self) -> Option<Ports> {
        let ending = format!("_{}.ports", self.pid()?);
        let file = fs::read_dir(&self.options.store_dir)
            .ok()?
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().ends_with(&ending))?;
        serde_json::from_slice(&fs::read(file.path()).ok()?).ok()
    }

    fn log_tail(&self) -> String {
        let text = fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let (_, tail) = lines.split_at(lines.len().saturating_sub(LOG_TAIL));
        tail.join("\n")
    }
}

/// Where a server listens, as URLs.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    #[serde(default)]
    websocket: Vec<String>,
}

fn address(url: &str) -> Option<SocketAddr> {
    url.split_once("://")?.1.parse().ok()
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes the directory and the configuration file.
fn prepare(options: &StartOptions) -> io::Result<PathBuf> {
    fs::create_dir_all(&options.store_dir)?;
    match &options.config {
        ServerConfig::File(path) => Ok(path.clone()),
        ServerConfig::Text(text) => write_config(&options.store_dir, text),
    }
}

fn write_config(directory: &Path, text: &str) -> io::Result<PathBuf> {
    let path = directory.join("nats-server.conf");
    fs::write(&path, text)?;
    Ok(path)
}

/// A server listens for clients only after it has recovered its streams, so its greeting is
/// enough.
async fn greets_with_jetstream(port: u16) -> bool {
    let greeting = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        io::Result::Ok(line)
    };
    match timeout(Duration::from_secs(1), greeting).await {
        Ok(Ok(line)) => line.starts_with("INFO ") && line.contains("\"jetstream\":true"),
        _ => false,
    }
}
