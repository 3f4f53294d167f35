//! The archive keeps a deleted row whole, or the row is not deleted.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::common::prepared::Prepared;
use crate::common::server::failed;

/// Rows that are in one of the two tables only, or differ.
const DIFFERING: &str =
    "SELECT count(*) FROM ((TABLE device EXCEPT TABLE before) UNION ALL (TABLE before EXCEPT TABLE device)) AS d";

impl Prepared {
    /// The load, its dry run and `--init` with these arguments are refused in words that contain `says`, and nothing is changed.
    #[track_caller]
    fn is_refused(&self, confirm: &str, says: &str) {
        let devices = self.number("SELECT count(*) FROM device");
        for more in [&["--execute", "--confirm", confirm][..], &[]] {
            failed(&self.database.command(&self.load(more)).output().unwrap(), 1, says);
        }
        assert_eq!(self.number("SELECT count(*) FROM device"), devices);
        assert_eq!(self.number("SELECT count(*) FROM device_removed"), 0);
    }
}

/// A column of the inventory was widened after `--init`: its values were rounded or cut in the archive without an error.
#[test]
fn a_column_that_was_widened_is_not_rounded_into_the_archive() {
    for (number, (column, before, after, says)) in [
        (
            "weight",
            "numeric(9,3)",
            "numeric(12,5)",
            "column `weight` is numeric(12,5) in table public.device, and numeric(9,3) in \"public\".\"device_removed\"",
        ),
        (
            "seen",
            "timestamp(0)",
            "timestamp",
            "column `seen` is timestamp without time zone in table public.device, and timestamp(0) without time zone in",
        ),
        ("model", "varchar(30)", "varchar(60)", "column `model` is character varying(60) in"),
        ("model", "text", "text COLLATE \"C\"", "column `model` is text COLLATE pg_catalog.\"C\" in"),
        ("seen", "real", "double precision", "column `seen` is double precision in"),
    ]
    .into_iter()
    .enumerate()
    {
        let prepared = Prepared::new(&format!("widened{number}"), 900);
        let confirm = prepared.confirm();
        let set = |table: &str, kind: &str| {
            prepared.database.sql(&format!(
                "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind}; ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}"
            ));
        };
        set("device_removed", before);
        set("device", after);
        prepared.is_refused(&confirm, says);
        let init = prepared.database.command(&["load", "--init", "--to", "URL"]).output().unwrap();
        failed(&init, 1, says);

        // Another archive takes the new type: rows are archived and restored as they are.
        prepared.database.sql("UPDATE device SET weight = 1.23456; CREATE TABLE before AS SELECT * FROM device");
        let config = prepared.folder.path().join("load.toml");
        fs::write(&config, "[load]\nremoved = \"device_removed_2\"\n").unwrap();
        let config = config.to_str().unwrap();
        prepared.database.well(&["load", "--init", "--to", "URL", "--config", config]);
        let indexes = "SELECT count(*) FROM pg_index WHERE indisunique AND indrelid IN ('device_removed'::regclass, 'device_removed_2'::regclass)";
        assert_eq!(prepared.number(indexes), 2, "each archive has its index");
        let execute = ["--config", config, "--execute", "--confirm", &confirm];
        let document = prepared.loaded(&execute);
        assert_eq!(document["total"]["deleted"], document["total"]["planned"]);
        prepared.loaded(&[&execute[..], &["--undo"]].concat());
        assert_eq!(prepared.number(DIFFERING), 0);
    }
}

/// A column is added while a load runs. Its values were lost, with exit code 0.
#[test]
fn a_column_that_is_added_between_two_batches_stops_the_load() {
    let prepared = Prepared::new("added", 3_000);
    let confirm = prepared.confirm();
    let execute = ["--batch", "10", "--pause", "10", "--execute", "--confirm", &confirm];
    let mut command = prepared.database.command(&prepared.load(&execute));
    let loader = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while prepared.number("SELECT count(*) FROM sweep_load WHERE done > 20") == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    prepared.database.sql("ALTER TABLE device ADD COLUMN later text NOT NULL DEFAULT 'x'");
    let output = loader.wait_with_output().unwrap();
    failed(&output, 1, "has no column `later`, which the inventory has; before that,");
    let done = prepared.number("SELECT done FROM sweep_load");
    assert!(done < prepared.number("SELECT planned FROM sweep_load"));
    assert_eq!(
        prepared.number("SELECT deleted FROM sweep_load"),
        prepared.number("SELECT count(*) FROM device_removed")
    );

    // One load archives one set of columns; and the undo restores these, so that the new column has its default.
    prepared.database.well(&["load", "--init", "--to", "URL"]);
    let again = prepared.database.command(&prepared.load(&execute)).output().unwrap();
    failed(&again, 1, "column `later` of table public.device has changed since this load began");
    prepared.loaded(&["--undo", "--execute", "--confirm", &confirm]);
    assert_eq!(prepared.number("SELECT count(*) FROM device WHERE later = 'x'"), 3_000);
}

/// A column is renamed between the load and its undo. It was restored as NULL.
#[test]
fn a_renamed_column_is_not_restored_as_null() {
    let prepared = Prepared::new("renamed", 900);
    let confirm = prepared.confirm();
    prepared.database.sql("CREATE TABLE before AS SELECT * FROM device");
    let execute = ["--execute", "--confirm", &confirm];
    prepared.loaded(&execute);
    prepared.database.sql("ALTER TABLE device RENAME COLUMN model TO model_name");
    let undo = prepared.load(&[&execute[..], &["--undo"]].concat()).iter().map(ToString::to_string).collect::<Vec<_>>();
    let undo: Vec<&str> = undo.iter().map(String::as_str).collect();
    failed(
        &prepared.database.command(&undo).output().unwrap(),
        1,
        "values of `model`, and table public.device has no such column",
    );
    prepared.database.sql("ALTER TABLE device RENAME COLUMN model_name TO model");
    prepared.database.well(&undo);
    assert_eq!(prepared.number(DIFFERING), 0);
}

/// Tables that inherit from the device table have columns that it does not have, and rows that an undo would restore into it.
#[test]
fn tables_that_inherit_from_the_inventory_are_refused() {
    let prepared = Prepared::new("children", 900);
    let confirm = prepared.confirm();
    prepared.database.sql("CREATE TABLE smets1 (firmware text) INHERITS (device)");
    prepared.is_refused(&confirm, "table public.smets1 inherits from table public.device");
    prepared.database.sql("ALTER TABLE smets1 NO INHERIT device");
    prepared.is_exact(&prepared.loaded(&["--execute", "--confirm", &confirm]));
}

/// An archive that a crash empties, or that a trigger or a rule rewrites, does not keep what is deleted.
#[test]
fn an_archive_that_does_not_keep_rows_is_refused() {
    let prepared = Prepared::new("not_kept", 900);
    let confirm = prepared.confirm();
    for (wrong, right, says) in [
        (
            "ALTER TABLE device_removed SET UNLOGGED",
            "ALTER TABLE device_removed SET LOGGED",
            "is unlogged or temporary: a crash of the server would empty it",
        ),
        (
            "CREATE FUNCTION redact() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.model := NULL; RETURN NEW; END $$; \
             CREATE TRIGGER redact BEFORE INSERT ON device_removed FOR EACH ROW EXECUTE FUNCTION redact()",
            "DROP TRIGGER redact ON device_removed",
            "trigger redact of \"public\".\"device_removed\" can change or keep out what is archived",
        ),
        (
            "CREATE RULE no_archive AS ON INSERT TO device_removed DO INSTEAD NOTHING",
            "DROP RULE no_archive ON device_removed",
            "rule no_archive of \"public\".\"device_removed\" can change or keep out",
        ),
        (
            "CREATE RULE no_delete AS ON DELETE TO device DO INSTEAD NOTHING",
            "DROP RULE no_delete ON device",
            "rule no_delete of \"public\".\"device\" rewrites what a load does",
        ),
    ] {
        prepared.database.sql(wrong);
        prepared.is_refused(&confirm, says);
        prepared.database.sql(right);
    }
    prepared.is_exact(&prepared.loaded(&["--execute", "--confirm", &confirm]));
}

/// Devices that were not planned were deleted with those that were, neither archived nor counted.
#[test]
fn a_table_whose_rows_follow_each_other_is_refused() {
    for (number, action) in ["CASCADE", "SET NULL", "SET DEFAULT"].into_iter().enumerate() {
        let prepared = Prepared::new(&format!("follows{number}"), 600);
        let confirm = prepared.confirm();
        prepared.database.sql(&format!(
            "ALTER TABLE device ADD COLUMN hub text CONSTRAINT of_hub REFERENCES device ON DELETE {action}; \
             ALTER TABLE device_removed ADD COLUMN hub text"
        ));
        prepared.is_refused(&confirm, "the foreign key of_hub of table public.device refers to the table itself");
    }
}

/// The archive took the column for its own: every row counted as restored before it was.
#[test]
fn a_column_with_a_name_of_the_archive_is_refused() {
    let prepared = Prepared::new("bookkeeping", 600);
    let confirm = prepared.confirm();
    prepared.database.sql("ALTER TABLE device ADD COLUMN restored_at timestamptz DEFAULT now()");
    prepared.is_refused(&confirm, "table public.device has a column `restored_at`");
}

/// With the same tables of a load, a run was loaded into one table and undone into another.
#[test]
fn a_run_goes_on_and_is_undone_in_the_table_that_it_was_loaded_into() {
    let prepared = Prepared::new("another_table", 600);
    let confirm = prepared.confirm();
    prepared.database.well(&prepared.load(&["--execute", "--confirm", &confirm]));
    prepared.database.sql("CREATE SCHEMA old; CREATE TABLE old.device (LIKE device INCLUDING ALL)");
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("old.toml");
    fs::write(&config, "[inventory]\nschema = \"old\"\n").unwrap();
    let config = config.to_str().unwrap();
    let says = "the load of this run is of table public.device, and the configuration names old.device";
    for more in [&["--undo", "--config", config][..], &["--config", config]] {
        failed(&prepared.database.command(&prepared.load(more)).output().unwrap(), 1, says);
    }
    assert_eq!(prepared.number("SELECT count(*) FROM old.device"), 0);
}
