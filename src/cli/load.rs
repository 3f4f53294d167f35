//! `smi-sweep load`: a run into the live inventory, as a dry run unless `--execute` is given; and the undo of a load.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::TerminalProgress;
use super::terminal::{ask, can_ask};
use super::{Common, figures, preflight, print, print_json, remark};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::shown;
use crate::smi::load::Loaded;
use crate::smi::outcome::{Account, Figures};
use crate::smi::undo::Undone;
use crate::smi::{self, Config, LoadOptions, Plan, Preflight, Target};

/// The URL of a database, which may have a password: never shown.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL")
    }
}

impl DatabaseUrl {
    /// The URL itself, for [`Target::parse`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Load a run into a PostgreSQL inventory: delete what is still due, and queue the alerts
///
/// A dry run, unless --execute is given: the same statements, rolled back. A device is deleted only if its type, status
/// and status date are still those of the run. A load that was stopped continues where it stopped.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "RUN", required_unless_present = "init")]
    run: Option<PathBuf>,
    /// The database: postgresql://USER@HOST/DATABASE?sslmode=require
    ///
    /// Give a password in PGPASSWORD or .pgpass.
    #[arg(long, value_name = "URL")]
    to: DatabaseUrl,
    /// The device table, the limits of a load, and the required approvals [default: public.device, none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Create the tables that a load needs, where they are missing
    #[arg(long, conflicts_with_all = ["run", "execute", "undo"])]
    init: bool,
    /// With --init: the policy with the names of columns
    #[arg(long, value_name = "FILE_OR_NAME", default_value = "secmp0060", requires = "init")]
    policy: String,
    /// Commit the deletions; needs --confirm, or the same text typed at the terminal
    #[arg(long)]
    execute: bool,
    /// The run and its number of deletions, as the dry run prints them
    #[arg(long, value_name = "RUN_ID:COUNT", requires = "execute")]
    confirm: Option<String>,
    /// Undo the load: restore rows, withdraw alerts that were not sent; a dry run, unless --execute is given
    #[arg(long)]
    undo: bool,
    /// Devices in a transaction [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Milliseconds to wait between two transactions [default: 0]
    #[arg(long, value_name = "MS")]
    pause: Option<u64>,
    /// Milliseconds to wait for a locked row before it is deferred [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    lock_timeout: Option<u32>,
    /// Milliseconds that a statement may take before its batch is halved [default: 60000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    statement_timeout: Option<u32>,
    /// Days after which a run may no longer be loaded, by the database's clock [default: 7]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    max_age: Option<u32>,
    /// Seconds to wait for another load of the same table
    #[arg(long, value_name = "S", default_value = "10")]
    wait: u32,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let config = settings(args)?;
    let target = Target::parse(args.to.as_str())?;
    let Some(run) = &args.run else {
        let table = smi::init(&target, &config, &Policy::load(&args.policy)?)?;
        remark(common, &format!("the tables of a load are ready, beside {table}"));
        return Ok(());
    };
    let pool = common.pool();
    let plan =
        if args.undo { Plan::for_undo(run, &pool)? } else { Plan::for_load(run, config.approvals.as_ref(), &pool)? };
    if args.execute {
        confirmed(args, &plan)?;
    }
    let progress = TerminalProgress::new(common);
    let options =
        LoadOptions { plan: &plan, target: &target, config: &config, execute: args.execute, wait_seconds: args.wait };
    if args.undo {
        let undone = smi::undo(&options, &progress)?;
        progress.finish();
        return print_undone(args, common, &plan, undone);
    }
    let loaded = smi::load(&options, &progress)?;
    let (_, seconds) = progress.finish();
    print_loaded(common, &plan, &loaded, seconds)
}

fn settings(args: &Args) -> Result<Config> {
    let mut config = Config::load(args.config.as_deref())?;
    let load = &mut config.load;
    load.batch = args.batch.unwrap_or(load.batch);
    load.pause_ms = args.pause.unwrap_or(load.pause_ms);
    load.lock_timeout_ms = args.lock_timeout.unwrap_or(load.lock_timeout_ms);
    load.statement_timeout_ms = args.statement_timeout.unwrap_or(load.statement_timeout_ms);
    load.max_age_days = args.max_age.unwrap_or(load.max_age_days);
    Ok(config)
}

/// Refuses unless the user has repeated the run's id and its number of deletions, by flag or at the terminal.
fn confirmed(args: &Args, plan: &Plan) -> Result<()> {
    let refuse = |what: &str| {
        let remedy = "make a dry run, without --execute: it prints what to confirm".into();
        Err(Error::Usage { what: what.into(), remedy })
    };
    let wanted = plan.confirmation();
    match &args.confirm {
        Some(given) if *given == wanted => Ok(()),
        Some(given) => refuse(&format!("`{given}` is not this run and its number of deletions")),
        None if can_ask() => {
            let what = if args.undo { "undo the load of" } else { "load" };
            let question =
                format!("to {what} run {} ({} devices to be deleted), type {wanted}:", plan.id, plan.planned);
            if ask(&question)?.trim() == wanted { Ok(()) } else { refuse("not confirmed; nothing was done") }
        }
        None => refuse("--execute needs --confirm RUN_ID:COUNT where there is no terminal"),
    }
}

/// The JSON document of a load.
#[derive(Serialize)]
struct LoadedDocument<'a> {
    run: &'a str,
    path: &'a Path,
    inventory: &'a str,
    executed: bool,
    already_loaded: bool,
    resumed_at: u64,
    confirm: String,
    #[serde(flatten)]
    account: &'a Account,
    preflight: Option<&'a Preflight>,
}

fn print_loaded(common: &Common, plan: &Plan, loaded: &Loaded, seconds: f64) -> Result<()> {
    let Loaded { executed, already, resumed_at, account, table, preflight: around } = loaded;
    if common.json {
        return print_json(&LoadedDocument {
            run: &plan.id,
            path: &plan.path,
            inventory: table,
            executed: *executed,
            already_loaded: *already,
            resumed_at: *resumed_at,
            confirm: plan.confirmation(),
            account,
            preflight: around.as_ref(),
        });
    }
    let deleted = if *already || *executed { "deleted" } else { "to be deleted" };
    remark(common, &by_type(account, deleted));
    for (reason, devices) in &account.reasons {
        remark(common, &format!("  {}: {}", figures::count(*devices), shown::message(reason, 1000)));
    }
    if *resumed_at > 0 && !already {
        remark(common, &format!("{} of them had been tried by an earlier attempt", figures::count(*resumed_at)));
    }
    for line in around.iter().flat_map(preflight::lines) {
        remark(common, &shown::message(&line, 1000).to_string());
    }
    let total = &account.total;
    let open = if total.open > 0 { format!(" + {} open", figures::count(total.open)) } else { String::new() };
    let sum = format!(
        "{} planned = {} {deleted} + {} changed since + {} gone + {} failed{open}; {} alerts",
        figures::count(total.planned),
        figures::count(total.deleted),
        figures::count(total.changed),
        figures::count(total.gone),
        figures::count(total.failed),
        figures::count(total.alerts),
    );
    let confirm = plan.confirmation();
    print(&match (already, executed) {
        (true, _) => format!("run {} is loaded already; nothing was done now\n{sum}\n", plan.id),
        (_, true) => format!("{sum}\nloaded into {table} in {seconds:.1} s\n"),
        (_, false) => {
            format!("{sum}\na dry run: nothing was changed; to execute it, add --execute --confirm {confirm}\n")
        }
    })
}

fn by_type(account: &Account, deleted: &str) -> String {
    let header = ["type", "planned", deleted, "changed", "gone", "failed", "open", "alerts"];
    let row = |name: &str, figures: &Figures| {
        let Figures { planned, deleted, changed, gone, failed, open, alerts } = *figures;
        let counts = [planned, deleted, changed, gone, failed, open, alerts].map(figures::count);
        std::iter::once(name.to_owned()).chain(counts).collect::<Vec<_>>()
    };
    let rows = account.by_type.iter().map(|(name, figures)| row(name, figures));
    figures::table(&header, rows.chain([row("all", &account.total)]))
}

/// The JSON document of an undo.
#[derive(Serialize)]
struct UndoneDocument<'a> {
    run: &'a str,
    executed: bool,
    confirm: String,
    undone: Undone,
}

fn print_undone(args: &Args, common: &Common, plan: &Plan, undone: Undone) -> Result<()> {
    let confirm = plan.confirmation();
    let failed = undone.failed;
    if common.json {
        print_json(&UndoneDocument { run: &plan.id, executed: args.execute, confirm, undone })?;
        return all_restored(failed);
    }
    for failure in undone.failures.iter().take(SHOWN_FAILURES) {
        remark(common, &format!("{}: {}", failure.device_id, failure.reason));
    }
    let sum = format!(
        "{} restored, {} had come back, {} could not be restored; {} alerts withdrawn, {} had been sent",
        figures::count(undone.restored),
        figures::count(undone.come_back),
        figures::count(failed),
        figures::count(undone.withdrawn),
        figures::count(undone.already_sent),
    );
    print(&if args.execute {
        format!("{sum}\n")
    } else {
        format!("{sum}\na dry run: nothing was changed; to execute it, add --execute --confirm {confirm}\n")
    })?;
    all_restored(failed)
}

/// How many failed rows are shown; `--json` and `load.json` have them all.
const SHOWN_FAILURES: usize = 20;

fn all_restored(failed: u64) -> Result<()> {
    if failed == 0 {
        return Ok(());
    }
    Err(Error::Inventory {
        what: format!("{} rows could not be restored; all others are", figures::count(failed)),
        remedy: "fix the causes that are named, then run the same command again".into(),
    })
}
