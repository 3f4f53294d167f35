//! Progress on the terminal, the clock, and Ctrl-C: the one place that looks at any of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Common, watched};
use crate::progress::{Progress, Stage};
use crate::scan::columns::reference::expecting_panic;

/// Set by the first Ctrl-C (or a polite request to end); operations then stop at their next morsel.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets Ctrl-C stop operations instead of ending the process outright. A second one ends it.
pub fn heed_interrupts() {
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(crate::error::ExitCode::Interrupted as i32);
        }
    });
}

/// The moment in whole seconds, as UTC microseconds, for evidence: when something was done, never what was decided.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default().saturating_mul(1_000_000)
}

/// Leaves panics unmentioned that are caught and reported as damage of the snapshot; see
/// [`expecting_panic`](crate::scan::columns::reference::expecting_panic).
pub fn heed_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !expecting_panic() {
            usual(panic);
        }
    }));
}

/// Watches an operation for the person at the terminal, and takes its times.
#[derive(Debug)]
pub struct TerminalProgress {
    bar: ProgressBar,
    clock: Mutex<Clock>,
}

#[derive(Debug)]
struct Clock {
    began: Instant,
    stage: Option<(Stage, Instant)>,
    spent: BTreeMap<Stage, Duration>,
}

impl TerminalProgress {
    /// Shows a bar on standard error where a person watches it and did not ask for quiet.
    #[must_use]
    pub fn new(common: &Common) -> Self {
        let target = if watched() && !common.quiet {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let clock = Clock { began: Instant::now(), stage: None, spent: BTreeMap::new() };
        Self { bar, clock: Mutex::new(clock) }
    }

    /// Removes the bar, and returns the seconds of each stage and of the whole.
    pub fn finish(&self) -> (BTreeMap<String, f64>, f64) {
        self.bar.finish_and_clear();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.turn(None);
        let total = clock.began.elapsed().as_secs_f64();
        (clock.spent.iter().map(|(stage, spent)| (stage.name().into(), spent.as_secs_f64())).collect(), total)
    }
}

impl Clock {
    fn turn(&mut self, next: Option<Stage>) {
        let now = Instant::now();
        if let Some((stage, since)) = self.stage.take() {
            *self.spent.entry(stage).or_default() += now - since;
        }
        self.stage = next.map(|stage| (stage, now));
    }
}

impl Progress for TerminalProgress {
    fn begin(&self, stage: Stage, units: u64) {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).turn(Some(stage));
        let what = match stage {
            Stage::Open => "opening files",
            Stage::VerifySeal => "verifying the seal",
            Stage::Tables => "reading tables",
            Stage::Unique => "looking for Device IDs that occur twice",
            Stage::Scan => "judging rows",
            Stage::Sort => "sorting findings",
            Stage::Write => "writing",
            Stage::Cases => "running cases",
            Stage::Fetch => "fetching rows",
            Stage::Stage => "handing the manifest over",
            Stage::Load => "loading",
        };
        self.bar.reset();
        self.bar.set_length(units);
        let template = match stage {
            Stage::Scan | Stage::Unique | Stage::Cases | Stage::Fetch | Stage::Stage | Stage::Load => {
                "{msg:40} {wide_bar} {percent:>3} %  {eta} left"
            }
            Stage::VerifySeal => "{msg:40} {wide_bar} {bytes_per_sec}  {eta} left",
            _ => "{msg:40} {spinner}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_message(what);
    }

    fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).began.elapsed()
    }
}
