//! Tests on Apache Spark. `scripts/test-cluster` installs it, starts a master and two workers, and runs them.

#[path = "../common/mod.rs"]
mod common;

mod queries;
mod sweeps;
