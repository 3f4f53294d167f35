//! Progress on the terminal, and the clock. No other file uses them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{report_defect, say, watched};
use super::{Common, ending};
use crate::error::expecting_panic;
use crate::progress::{Progress, Stage};

/// The wall clock in UTC microseconds, at whole seconds. For records of when something was done; no decision uses it.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default().saturating_mul(1_000_000)
}

/// Prints a panic as one line. Prints nothing for panics of the `parquet` crate that are caught and become errors; see
/// [`expecting_panic`].
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(move |panic| {
        if !expecting_panic() {
            report_defect(&panic.to_string());
        }
    }));
}

/// A progress bar on standard error, and the time that each stage takes.
#[derive(Debug)]
pub struct TerminalProgress {
    quiet: bool,
    bar: ProgressBar,
    clock: Mutex<StageClock>,
}

#[derive(Debug)]
struct StageClock {
    began: Instant,
    stage: Option<(Stage, Instant)>,
    spent: BTreeMap<Stage, Duration>,
}

impl TerminalProgress {
    /// Starts the clock. The bar is shown where standard error is a terminal and `--quiet` is not given.
    #[must_use]
    pub fn new(common: &Common) -> Self {
        let target = if watched() && !common.quiet {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let clock = StageClock { began: Instant::now(), stage: None, spent: BTreeMap::new() };
        Self { quiet: common.quiet, bar, clock: Mutex::new(clock) }
    }

    /// Removes the bar. Returns the seconds of each stage by its name, and the seconds of the whole operation.
    pub fn finish(&self) -> (BTreeMap<String, f64>, f64) {
        self.bar.finish_and_clear();
        let times = self.stage_times();
        (
            times.iter().map(|(stage, spent)| (stage.name().into(), spent.as_secs_f64())).collect(),
            self.elapsed().as_secs_f64(),
        )
    }
}

impl StageClock {
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
        ending::note(stage);
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
            Stage::Stage => "copying the manifest to the database",
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

    fn waiting(&self, what: &str) {
        if !self.quiet {
            self.bar.suspend(|| say(what));
        }
    }

    fn interrupted(&self) -> bool {
        ending::interrupted()
    }

    fn stage_times(&self) -> BTreeMap<Stage, Duration> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = clock.stage.map(|(stage, _)| stage);
        // The current stage has not ended; its time so far is counted.
        clock.turn(stage);
        clock.spent.clone()
    }

    fn elapsed(&self) -> Duration {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).began.elapsed()
    }
}
