//! The command line: what a person types, and the exit codes it answers with.
