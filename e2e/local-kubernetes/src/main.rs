//! The program; what it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use local_kubernetes::{Arguments, run};

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
