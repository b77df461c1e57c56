//! The `jobwire` command.

use tikv_jemallocator::Jemalloc;

/// Connections come and go for months; this allocator gives back what they held.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    jobwire::cli::run()
}
