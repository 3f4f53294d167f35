//! How the process ends before its time: signals, and a thread that ends it where an operation does not.
//!
//! The first SIGINT, SIGTERM or SIGHUP asks operations to stop; they notice it between two pieces of work, remove what they have
//! staged, and return [`Error::Interrupted`](crate::Error::Interrupted). A read that does not return, or a piece of work that takes
//! long, must not keep the process: after [`patience`] a thread of this module removes what is staged, and ends the process
//! with exit code 130. A second signal ends it at once, as a kill does.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

use super::terminal::print_error;
use crate::error::ExitCode;
use crate::output;
use crate::progress::Stage;

/// Signals that ask the process to end.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// How often the thread looks whether the patience is over.
const STEP: Duration = Duration::from_millis(20);
/// How long a file system may take to remove what is staged.
const REMOVAL: Duration = Duration::from_millis(150);

/// Set by the first signal.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// Whether the process works in a live inventory.
static IN_INVENTORY: AtomicBool = AtomicBool::new(false);
/// Held by the one thread that ends the process.
static ENDING: Mutex<()> = Mutex::new(());

/// Whether a signal has asked the process to end.
pub(super) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Notes what the process is doing: an operation in a live inventory ends with its transaction.
pub(super) fn note(stage: Stage) {
    IN_INVENTORY.store(matches!(stage, Stage::Load | Stage::Stage), Ordering::Relaxed);
}

/// How long an operation may take to stop. A load ends its transaction and writes its account first; a statement that
/// takes longer is left to the server, which rolls it back.
fn patience() -> Duration {
    if IN_INVENTORY.load(Ordering::Relaxed) { Duration::from_secs(10) } else { Duration::from_millis(700) }
}

/// Lets the first SIGINT, SIGTERM or SIGHUP ask operations to stop, and ends the process where they do not. A second one ends
/// it at once, with exit code 130.
///
/// A file that grows beyond the limit on the size of files is an error of the write, and no signal.
pub fn install_signal_handlers() {
    let watchdog = UnixStream::pair().ok();
    for signal in SIGNALS {
        // The order matters: at the first signal the flag must still be clear when the handler decides whether to exit.
        let exits = flag::register_conditional_shutdown(signal, ExitCode::Interrupted as i32, Arc::clone(&INTERRUPTED));
        // A signal that cannot be handled keeps its default action, which ends the process.
        let asks = exits.and_then(|_| flag::register(signal, Arc::clone(&INTERRUPTED)));
        if let (Ok(_), Some((_, wakes))) = (asks, &watchdog) {
            let _ = wakes.try_clone().and_then(|wakes| low_level::pipe::register(signal, wakes));
        }
    }
    // Without a thread, operations stop between two pieces of work, and a second signal ends the process.
    if let Some((woken, _)) = watchdog {
        let _ = std::thread::Builder::new().name("watchdog".into()).spawn(move || watch(woken));
    }
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// Waits for the first signal, then for the process to end, and ends it.
fn watch(mut woken: UnixStream) {
    if woken.read_exact(&mut [0]).is_err() {
        return;
    }
    let mut waited = Duration::ZERO;
    while waited < patience() {
        std::thread::sleep(STEP);
        waited += STEP;
    }
    // Where the main thread is ending the process already, it may take a moment more to print why.
    let Ok(_ending) = ENDING.try_lock() else {
        std::thread::sleep(REMOVAL);
        low_level::exit(ExitCode::Interrupted as i32)
    };
    let published = output::abandon(REMOVAL);
    let (what, remedy) = match (IN_INVENTORY.load(Ordering::Relaxed), published) {
        (true, _) => (
            "interrupted while the database was working; its transaction is committed whole or rolled back",
            "run the same command again: it continues from there",
        ),
        (false, 0) => ("interrupted; nothing was published", ""),
        (false, _) => ("interrupted; what had been published before is whole", ""),
    };
    print_error(what, remedy);
    low_level::exit(ExitCode::Interrupted as i32);
}

/// Begins the end of the process: nothing else ends it from now on. Where another thread does so already, this one waits for
/// ever, and prints nothing.
pub fn begin_to_end() {
    std::mem::forget(ENDING.lock().unwrap_or_else(PoisonError::into_inner));
}
