//! The `omnivenue` command: everything the engine does, by hand and in scripts.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
