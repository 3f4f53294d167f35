//! The programs of `examples/` do what they show.

use crate::common::{Workspace, fixtures};
use smi_sweep::estate::Disposition;

#[path = "../../examples/policy_in_code.rs"]
#[expect(dead_code, reason = "`main` is for people")]
mod policy_in_code;
#[path = "../../examples/read_delete_manifest.rs"]
#[expect(dead_code, reason = "`main` is for people")]
mod read_delete_manifest;
#[path = "../../examples/sweep_folder.rs"]
#[expect(dead_code, reason = "`main` is for people")]
mod sweep_folder;

#[test]
fn a_folder_is_swept_and_its_delete_manifest_read() {
    let scratch = tempfile::tempdir().unwrap();
    let run = Workspace::path(&scratch, "run");
    let deletes = sweep_folder::sweep_folder(&fixtures().join("estate"), &run).unwrap();
    let by_party = read_delete_manifest::deletions_by_party(&run).unwrap();
    assert_eq!(by_party.values().sum::<u64>(), deletes);
    assert!(deletes > 0 && by_party.len() > 10);
}

#[test]
fn a_policy_in_code_decides_by_its_own_thresholds() {
    let decided = policy_in_code::dispositions(&["2024-10-31", "2024-11-01", "2024-11-02"]).unwrap();
    let delete = Disposition::Delete { alert: true };
    assert_eq!(decided, [("2024-10-31", delete), ("2024-11-01", delete), ("2024-11-02", Disposition::NotDue)]);
}
