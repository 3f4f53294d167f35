//! Regression cases: they prove what a policy and a build do, with evidence that can be signed.
//!
//! [`run`] sweeps each [`Case`] in every cell of a matrix of storage forms and threads. All cells must write the same
//! manifests, byte for byte, and these are compared with the outcomes that the case expects. [`Statements`] trace what
//! must be demonstrated to cases. [`evidence`] makes a page and a JUnit report. [`change`] is separate: it compares two
//! policies on a real estate.
//!
//! For: testing a policy or a build. Not for: testing the engine's code, which `tests/` does.

mod bless;
mod case;
mod cells;
pub mod change;
mod compare;
pub mod evidence;
mod judge;
mod published;
mod statements;
mod store;
mod suite;
mod table;

pub use bless::bless;
pub use case::{Case, Device, DeviceOutcome, DispositionKind, ExpectedOutcome, is_case};
pub use cells::{MatrixCell, cells};
pub use compare::CaseDifference;
pub use published::{ActualOutcome, OutcomeSource};
pub use statements::{Statements, Trace, TraceableStatement};
pub use suite::{CaseResult, run};
