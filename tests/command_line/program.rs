//! The program as a process: its words, its environment, its lines.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::deployment::Deployment;
use crate::harness::within;

/// What is to be run.
pub struct Program(Command);

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Standard output as lines of JSON.
    pub fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Program {
    /// The program with these words, and nothing of this machine's environment.
    pub fn new(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobwire"));
        command.args(words).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    /// The same, for a gateway.
    pub fn at(deployment: &Deployment, words: &[&str]) -> Self {
        let url = format!("http://{}", deployment.gateway.address);
        Self::new(words).with("JOBWIRE_URL", &url)
    }

    /// The same with an environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Run {
        self.run_with("").await
    }

    /// Runs it to its end, with this on standard input.
    pub async fn run_with(mut self, input: &str) -> Run {
        self.0.stdin(Stdio::piped());
        let mut process = self.0.spawn().expect("a process");
        let mut stdin = process.stdin.take().expect("a standard input");
        // Who does not read it ends before.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = within("the command ends", process.wait_with_output()).await;
        let output = output.expect("its output");
        Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same with a standard input that is written to while it runs.
    pub fn fed(mut self) -> Self {
        self.0.stdin(Stdio::piped());
        self
    }

    /// Starts it, to be read line by line.
    pub fn start(mut self) -> Running {
        self.0.stderr(Stdio::inherit());
        let mut process = self.0.spawn().expect("a process");
        let stdout = process.stdout.take().expect("a standard output");
        // Else it would be closed as soon as the process is waited for.
        let stdin = process.stdin.take();
        Running { process, stdin, lines: BufReader::new(stdout).lines() }
    }
}

/// A process at work.
pub struct Running {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Writes to its standard input.
    pub async fn feed(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("a standard input of ours");
        stdin.write_all(text.as_bytes()).await.expect("a program that reads");
    }

    /// The next line.
    pub async fn line(&mut self) -> Option<String> {
        within("a line comes", self.lines.next_line()).await.expect("text")
    }

    /// The next lines of JSON, up to the first that is as wanted.
    pub async fn until(&mut self, mut is_wanted: impl FnMut(&Value) -> bool) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            let is_last = is_wanted(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("it ended after {lines:?}");
    }

    /// All lines of JSON that still come, and how it ended.
    pub async fn rest(mut self) -> (Vec<Value>, Option<i32>) {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(serde_json::from_str(&line).expect("a line of JSON"));
        }
        (lines, self.end().await.code())
    }

    /// Nobody reads its lines any more; how it ends then.
    pub async fn unread(self) -> ExitStatus {
        let Self { mut process, lines, .. } = self;
        drop(lines);
        within("the command ends", process.wait()).await.expect("its end")
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("a running process"), Signal::INT).expect("a process of ours");
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        within("the command ends", self.process.wait()).await.expect("its end")
    }
}
