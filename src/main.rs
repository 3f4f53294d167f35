//! The `smi-sweep` binary: parses the arguments, runs the command, returns the exit code.

use std::process::ExitCode;

use clap::Parser;
use smi_sweep::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(cli::report_usage(&error)),
    };
    cli::install_sigbus_handler();
    cli::install_panic_hook();
    cli::install_signal_handlers();
    let outcome = cli.run();
    cli::begin_to_end();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(cli::report(&error) as u8),
    }
}
