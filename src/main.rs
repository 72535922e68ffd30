//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustsocks::cli::main(std::env::args_os())
}
