//! Tasks without which the process is of no use, such as the tail: one that panics takes the
//! process with it, so that whoever runs it starts another. Half of a gateway would look alive.

use tokio::task::JoinHandle;

/// Exit code of a process that such a task has ended.
const FAILED: i32 = 1;

/// Waits for the end of a task; ends the process if that is a panic.
pub async fn watch(name: &'static str, task: JoinHandle<()>) {
    if task.await.is_err_and(|error| error.is_panic()) {
        tracing::error!(task = name, "a task panicked that others depend on: the process ends");
        std::process::exit(FAILED);
    }
}
