//! The built-in policies: the thresholds and exclusions that housekeeping has had (SECMP0060 impact assessment,
//! SCR137).

use super::Policy;
use crate::error::{DocumentKind, DocumentPlace, Result, did_you_mean};

/// Name and text of each built-in policy, oldest first.
pub const BUILT_IN: [(&str, &str); 3] = [
    (
        "pre-change",
        r#"# Housekeeping as it was: 12 months, nothing excluded, hubs deleted silently.
name = "pre-change"
version = 1
[threshold]
default = 12
"#,
    ),
    (
        "scr137",
        r#"# The tactical fix: 36 months for every type.
name = "scr137"
version = 2
[threshold]
default = 36
"#,
    ),
    (
        "secmp0060",
        r#"# The Change: 12 months again, Comms Hubs excluded.
name = "secmp0060"
version = 3
[threshold]
default = 12
[exclude]
types = ["CommsHub"]
"#,
    ),
];

/// The built-in policy of this name.
///
/// # Errors
/// An unknown name.
pub fn built_in(name: &str) -> Result<Policy> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Policy::parse(text, name);
    }
    let names = BUILT_IN.map(|(name, _)| name);
    let near = did_you_mean(name, names);
    let remedy = format!("{near}there are {}; a file is named with a `/` or ends in .toml", names.join(", "));
    Err(DocumentPlace::whole(DocumentKind::Policy, name).refuse("no built-in policy of this name", remedy))
}
