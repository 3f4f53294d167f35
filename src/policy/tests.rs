//! Errors of the parser, the built-in policies, and the rules of a policy that is bound to a moment.

use super::*;
use crate::error::ExitCode;
use crate::estate::SmiStatus;

const GOOD: &str = r#"
name = "mine"
version = 7
candidate_statuses = ["Pending"]
boundary = "date"
[threshold]
default = 12
PPMID = 36
[exclude]
types = ["CommsHub"]
[alerts]
code = "N8"
silent_types = ["CommsHub"]
[guard]
max_deletes = 500000
max_delete_share = 0.05
max_quarantined = 10000
[types]
extra = ["SAPC"]
[snapshot.columns]
DEVICE_EUI = "device_id"
[snapshot.statuses]
PENDING = "Pending"
[snapshot.types]
"Type 2 IHD" = "IHD"
"#;

fn message(text: &str) -> String {
    let error = Policy::parse(text, "p.toml").unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Policy);
    format!("{error} | {}", error.remedy())
}

#[test]
fn a_policy_is_read_whole() {
    let policy = Policy::parse(GOOD, "p.toml").unwrap();
    assert_eq!((policy.name.as_str(), policy.version), ("mine", 7));
    assert_eq!(policy.thresholds.months(DeviceType::PPMID), 36);
    assert_eq!(policy.thresholds.months(DeviceType::ESME), 12);
    assert!(policy.exclude.contains(DeviceType::CHF) && policy.exclude.contains(DeviceType::GPF));
    assert_eq!(policy.type_code(b"SAPC"), 8);
    assert_eq!(policy.type_code(b"Type 2 IHD"), DeviceType::IHD.code());
    assert_eq!(policy.type_code(b"ihd"), DeviceType::UNKNOWN);
    assert_eq!(policy.status_code(b"PENDING"), SmiStatus::Pending.code());
    assert_eq!(policy.status_code(b"Pending"), SmiStatus::Pending.code());
    assert_eq!(policy.status_code(b"\xFF"), SmiStatus::UNKNOWN);
}

#[test]
fn the_built_in_policies_have_the_documented_values() {
    for (name, months, excluded) in
        [("pre-change", 12, TypeSet::EMPTY), ("scr137", 36, TypeSet::EMPTY), ("secmp0060", 12, TypeSet::COMMS_HUB)]
    {
        let policy = Policy::load(name).unwrap();
        assert_eq!(policy.name, name);
        assert_eq!(policy.thresholds, Thresholds { default: months, by_type: BTreeMap::new() });
        assert_eq!(policy.exclude, excluded);
        assert_eq!(policy.alerts.silent_types, TypeSet::COMMS_HUB);
        assert_eq!(policy.guard, Guard::default());
    }
    let error = Policy::load("secmp006").unwrap_err();
    assert!(error.remedy().starts_with("did you mean `secmp0060`?"), "{}", error.remedy());
}

/// Each error with the place in its report, and a part of the message.
#[test]
fn every_error_is_refused_with_its_place_and_the_right_name() {
    for (from, to, place, part) in [
        ("default = 12", "default = 0", "7:11", "write a whole number from 1 to 1200"),
        ("default = 12", "default = -1", "7:11", "found integer `-1`, expected a whole number from 1 to 1200"),
        ("default = 12", "default = 1.5", "7:11", "write a whole number"),
        ("default = 12", "default = \"12\"", "7:11", "write a whole number"),
        ("default = 12", "# none", "6:1", "lacks `default` in [threshold]"),
        ("default = 12", "default = 99999999999999999999", "7:11", "write a whole number from 1 to 1200"),
        ("PPMID = 36", "PPMIT = 36", "8:1", "did you mean `PPMID`?"),
        ("PPMID = 36", "CommsHub = 24\nCHF = 36", "9:1", "a second threshold for CHF"),
        ("[\"Pending\"]", "[\"pending\"]", "4:23", "did you mean `Pending`?"),
        ("[\"Pending\"]", "[]", "4:22", "no candidate statuses"),
        ("[\"Pending\"]", "\"Pending\"", "4:22", "write a list in brackets"),
        ("boundary = \"date\"", "boundary = \"day\"", "5:12", "did you mean `date`?"),
        ("boundary =", "boundry =", "5:1", "did you mean `boundary`?"),
        ("types = [\"CommsHub\"]", "type = [\"CommsHub\"]", "10:1", "did you mean `types`?"),
        ("types = [\"CommsHub\"]", "types = [\"CommHub\"]", "10:10", "did you mean `CommsHub`?"),
        ("types = [\"CommsHub\"]", "types = [3]", "10:10", "write text in quotes"),
        ("[exclude]", "[excluded]", "9:2", "did you mean `exclude`?"),
        ("code = \"N8\"", "code = \"\"", "12:8", "is not an alert code"),
        ("max_deletes = 500000", "max_deletes = -5", "15:15", "write a whole number of 0 or more"),
        ("max_deletes = 500000", "max_delets = 5", "15:1", "did you mean `max_deletes`?"),
        ("max_delete_share = 0.05", "max_delete_share = 5", "16:20", "write a number from 0 to 1"),
        ("max_delete_share = 0.05", "max_delete_share = nan", "16:20", "write a number from 0 to 1"),
        ("extra = [\"SAPC\"]", "extra = [\"ESME\"]", "19:10", "is a device type already"),
        ("extra = [\"SAPC\"]", "extra = [\"CommsHub\"]", "19:10", "is not a name for a device type"),
        ("extra = [\"SAPC\"]", "extra = [\"Esme\"]", "19:10", "in case only"),
        ("PENDING = \"Pending\"", "Commissioned = \"Pending\"", "23:1", "keeps its meaning"),
        ("PENDING = \"Pending\"", "COMMISSIONED = \"Pending\"", "23:1", "keeps its meaning"),
        ("PENDING = \"Pending\"", "\"\" = \"Pending\"", "23:1", "begins or ends with a blank"),
        ("PENDING = \"Pending\"", "\" Wait\" = \"Pending\"", "23:1", "begins or ends with a blank"),
        ("\"Type 2 IHD\"", "chf", "25:1", "keeps its meaning"),
        ("\"Type 2 IHD\"", "sapc", "25:1", "keeps its meaning"),
        ("\"Type 2 IHD\"", "\"IHD \"", "25:1", "begins or ends with a blank"),
        ("\"Type 2 IHD\"", "CommsHub", "25:1", "is an alias of two device types"),
        ("\"Type 2 IHD\"", "commshubs", "25:1", "is an alias of two device types"),
        ("extra = [\"SAPC\"]", "extra = [\"commshub\"]", "19:10", "is not a name for a device type"),
        ("extra = [\"SAPC\"]", "extra = [\"CommsHubs\"]", "19:10", "is not a name for a device type"),
        ("extra = [\"SAPC\"]", "extra = [\"default\"]", "19:10", "is not a name for a device type"),
        ("extra = [\"SAPC\"]", "extra = [\" CHF\"]", "19:10", "is not a name for a device type"),
        ("default = 12\nPPMID = 36", "defualt = 12", "7:1", "did you mean `default`?"),
        ("\"device_id\"", "\"deviceid\"", "21:14", "did you mean `device_id`?"),
        ("DEVICE_EUI = \"device_id\"", "A = \"device_id\"\nB = \"device_id\"", "22:5", "a second column"),
        ("PENDING = \"Pending\"", "PENDING = \"Pendin\"", "23:11", "did you mean `Pending`?"),
        ("\"IHD\"", "\"IHDD\"", "25:16", "did you mean `IHD`?"),
        ("name = \"mine\"", "name = \"\"", "2:8", "is not a name for a policy"),
        ("name = \"mine\"", "name = \"../x\"", "2:8", "is not a name for a policy"),
        ("name = \"mine\"", "# none", "1:1", "lacks `name`"),
        ("version = 7", "version = 0", "3:11", "write a whole number from 1 to 4294967295"),
        ("version = 7", "version = 7\nversion = 8", "4:1", "duplicate key"),
        ("version = 7", "version = ", "3:11", "written in TOML"),
        ("[guard]", "[[guard]]", "14:1", "found a list, expected a table"),
        ("[guard]", "[other]\n[guard]", "14:2", "unknown key `other`"),
        ("code = \"N8\"", "code = 8", "12:8", "write text in quotes"),
        ("\"IHD\"", "\"CommsHub\"", "25:16", "is an alias of two device types"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let message = message(&text);
        assert!(message.contains(part), "{to}: {message}");
        assert!(message.starts_with(&format!("p.toml:{place}: ")), "{to}: {message}");
    }
    assert!(message("").contains("the policy is empty"));
    assert!(message("# only a comment\n").contains("the policy is empty"));
    assert!(Policy::load("no/such.toml").unwrap_err().to_string().contains("cannot be read"));
}

/// A known name in another case may be mapped to its own meaning only.
#[test]
fn a_known_name_in_another_case_keeps_its_meaning() {
    let text = GOOD.replacen("\"Type 2 IHD\"", "\"Ihd\"", 1).replacen("PENDING =", "pending =", 1);
    let policy = Policy::parse(&text, "p").unwrap();
    assert_eq!(policy.type_code(b"Ihd"), DeviceType::IHD.code());
    assert_eq!(policy.status_code(b"pending"), SmiStatus::Pending.code());
}

#[test]
fn a_missing_guard_is_the_usual_guard() {
    let policy = Policy::parse("name = \"a\"\nversion = 1\n[threshold]\ndefault = 12\n", "p").unwrap();
    assert_eq!(policy.guard, Guard::default());
}

#[test]
fn the_digest_covers_everything_that_decides() {
    let policy = Policy::parse(GOOD, "p").unwrap();
    let digest = |text: &str| Policy::parse(text, "p").unwrap().digest();
    assert_eq!(policy.digest(), digest(&format!("# a comment\n{GOOD}")));
    assert_eq!(policy.digest(), digest(&GOOD.replacen("types = [\"CommsHub\"]", "types = [\"GPF\", \"CHF\"]", 1)));
    for (from, to) in [
        ("version = 7", "version = 8"),
        ("default = 12", "default = 13"),
        ("PPMID = 36", "PPMID = 35"),
        ("\"date\"", "\"instant\""),
        ("types = [\"CommsHub\"]", "types = [\"CHF\"]"),
        ("silent_types = [\"CommsHub\"]", "silent_types = []"),
        ("max_deletes = 500000", "max_deletes = 500001"),
        ("PENDING", "PEND"),
    ] {
        assert_ne!(policy.digest(), digest(&GOOD.replacen(from, to, 1)), "{to}");
    }
}

#[test]
fn a_record_gives_the_policy_back() {
    let policy = Policy::parse(GOOD, "p").unwrap();
    assert_eq!(Policy::from_json(&policy.to_json(), "run.json").unwrap(), policy);
}

/// The order of the rule, stated a second time.
#[test]
fn pairs_follow_the_order_of_the_rule() {
    use crate::estate::Reason;
    let rules = Policy::load("secmp0060").unwrap().bind(0);
    for status in 0..SmiStatus::CODES as u8 {
        for device_type in 0..DeviceType::CODES as u8 {
            let type_2 = device_type == DeviceType::IHD.code() || device_type == DeviceType::CAD.code();
            let hub = device_type == DeviceType::CHF.code() || device_type == DeviceType::GPF.code();
            let expected = if status == SmiStatus::NULL {
                if type_2 { Pair::NotCandidate } else { Pair::Quarantine(Reason::MissingStatus) }
            } else if status > 8 {
                Pair::Quarantine(Reason::UnknownStatus)
            } else if status != SmiStatus::Pending.code() {
                Pair::NotCandidate
            } else if hub {
                Pair::Excluded
            } else if device_type >= 62 {
                Pair::Quarantine(Reason::UnknownType)
            } else {
                Pair::Judge
            };
            assert_eq!(rules.pair(status, device_type), expected, "{status} {device_type}");
        }
    }
}

#[test]
fn alerts_follow_the_role_and_else_the_type() {
    use crate::estate::Role;
    let rules = Policy::load("secmp0060").unwrap().bind(0);
    let (hub, meter) = (DeviceType::CHF.code(), DeviceType::ESME.code());
    assert!(!rules.alerts(hub, None) && rules.alerts(meter, None));
    assert!(rules.alerts(hub, Some(Role::ServiceUser)) && !rules.alerts(meter, Some(Role::Csp)));
}
