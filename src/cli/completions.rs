//! `jobwire completions SHELL` and `jobwire man`: what shells and `man` know of the commands.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use super::standard_output;

pub(super) const COMPLETIONS_HELP: &str = "\
Exit codes:
  0  done
  2  wrong usage

Examples:
  source <(jobwire completions bash)
  jobwire completions zsh > ~/.zfunc/_jobwire
  jobwire completions fish > ~/.config/fish/completions/jobwire.fish";

pub(super) const MAN_HELP: &str = "\
Exit codes:
  0  done
  1  the directory cannot be written to
  2  wrong usage

Examples:
  jobwire man | man -l -
  jobwire man ~/.local/share/man/man1";

/// What `jobwire completions` takes.
#[derive(Args, Debug)]
pub(super) struct CompletionsArguments {
    /// Shell they are for
    #[arg(value_enum)]
    shell: Shell,
}

/// What `jobwire man` takes.
#[derive(Args, Debug)]
pub(super) struct ManArguments {
    /// Directory for the pages of all commands [default: the first page, to standard output]
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn complete(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "jobwire", &mut script);
    standard_output::write(&script)?;
    Ok(())
}

pub(super) fn man(arguments: ManArguments, command: Command) -> anyhow::Result<()> {
    let Some(directory) = arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        standard_output::write(&page)?;
        return Ok(());
    };
    std::fs::create_dir_all(&directory)
        .and_then(|()| clap_mangen::generate_to(command, &directory))
        .with_context(|| format!("cannot write to {}", directory.display()))
}
