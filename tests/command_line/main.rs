//! Tests of the binary: arguments, exit codes, and what is printed.

#[path = "../common/mod.rs"]
mod common;

mod cli;
mod examples;
mod faults;
mod hostile;
mod hostile_text;
mod shown;
mod stuck;
