//! Values of the inventory in the form that a sweep compares, as SQL: Device IDs and parties in any spelling.
//!
//! A Device ID has one canonical form, however the inventory spells it (see [`DeviceId`](crate::estate::DeviceId)), and so
//! has the name of a party (see [`Party`]).

use super::table::literal;
use crate::estate::{INVISIBLE, Party, Role, WHITE_SPACE};

/// The spellings of an EUI-64 as regular expressions: pairs joined by `-`, by `:`, or by nothing.
const EUI_64: &str = "^([0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}$|^[0-9A-Fa-f]{16}$";

/// Whether a text spells an EUI-64.
pub(super) fn is_eui(text: &str) -> String {
    format!("{text} ~ '{EUI_64}'")
}

/// The 16 digits of a text that spells an EUI-64, in upper case.
pub(super) fn digits(text: &str) -> String {
    format!("upper(translate({text}, '-:', ''))")
}

/// The canonical form of a text that spells an EUI-64.
pub(super) fn canonical(text: &str) -> String {
    format!("regexp_replace({}, '(..)(?!$)', '\\1-', 'g')", digits(text))
}

/// Every spelling that an index can look up, as an array of `type_name`: upper or lower case, joined by `-`, `:` or nothing.
/// Mixed case is not among them.
pub(super) fn spellings(text: &str, type_name: &str) -> String {
    let (digits, dashed) = (digits(text), canonical(text));
    let colons = format!("replace({dashed}, '-', ':')");
    let forms: Vec<String> =
        [dashed, digits, colons].iter().flat_map(|form| [form.clone(), format!("lower({form})")]).collect();
    format!("ARRAY[{}]::{type_name}[]", forms.join(", "))
}

/// The condition that a party of the inventory is the planned one, both as text; `planned` is canonical, or null where no party
/// can be alerted. Only names that differ are looked at more closely.
pub(super) fn same_party(party: &str, planned: &str, utf8: bool) -> String {
    // A database of another encoding cannot have the other characters.
    let space: String = WHITE_SPACE.iter().filter(|c| utf8 || c.is_ascii()).collect();
    let name = format!("btrim({party}, {})", literal(&space));
    let bad = if utf8 { format!(" OR {name} ~ '[{}]'", invisible()) } else { String::new() };
    format!(
        "CASE WHEN {party} = {planned} THEN true WHEN {party} IS NULL THEN {planned} IS NULL \
         WHEN {planned} IS NULL THEN {name} = '' OR octet_length({name}) > {longest}{bad} \
         WHEN {is_eui} THEN {canonical} = {planned} ELSE {name} = {planned} END",
        is_eui = is_eui(&name),
        canonical = canonical(&name),
        longest = Party::MAX_BYTES,
    )
}

/// The members of a bracket expression for characters that a party's name must not have. No text of PostgreSQL has a NUL.
fn invisible() -> String {
    let escaped = |c: char| format!("\\U{:08X}", u32::from(c).max(1));
    INVISIBLE.iter().map(|&(first, last)| format!("{}-{}", escaped(first), escaped(last))).collect::<Vec<_>>().concat()
}

/// Whether the deletion of a row raises an alert: by its role, or by its type where it has none. Null for an unknown role.
/// `silent` is an array of types.
pub(super) fn raises_alert(role: &str, device_type: &str, silent: &str) -> String {
    let [service_user, csp] = [Role::ServiceUser, Role::Csp].map(Role::name);
    format!(
        "CASE {role} WHEN '{service_user}' THEN true WHEN '{csp}' THEN false \
         ELSE CASE WHEN {role} IS NULL THEN {device_type} <> ALL({silent}) END END"
    )
}
