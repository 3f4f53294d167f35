//! What a load and an undo are given.

use super::config::Config;
use super::connect::Target;
use super::stage::Plan;

/// What [`load`](fn@super::load) and [`undo`](fn@super::undo) work on, and how.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The verified run.
    pub plan: &'a Plan,
    /// The database.
    pub target: &'a Target,
    /// The device table, the limits of a load, the approvals that it needs.
    pub config: &'a Config,
    /// Whether to commit. Otherwise it is a dry run: the same statements, rolled back.
    pub execute: bool,
    /// How many seconds to wait for another load of the same table; 0 waits one.
    pub wait_seconds: u32,
}
