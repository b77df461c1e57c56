//! The `jobwire` command.

fn main() -> std::process::ExitCode {
    jobwire::cli::run()
}
