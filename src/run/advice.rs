//! What each reason for quarantine means, and what to do about it, in words for people.

use crate::estate::Reason;

/// What is the matter with such rows, and what to do.
pub const fn advice(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::UnknownStatus => (
            "The status is spelt in a way that the policy does not know.",
            "Map the spelling under [snapshot.statuses] of the policy, or have the value mended at its source.",
        ),
        Reason::MissingStatus => (
            "There is no status, on a device that must have one.",
            "Have the status entered: only IHD and CAD go without.",
        ),
        Reason::UnknownType => (
            "The device type is missing, or spelt in a way that the policy does not know.",
            "Map the spelling under [snapshot.types], or list a new type under [types] and [exclude] as it is meant.",
        ),
        Reason::MissingDate => {
            ("Nothing says since when the status has applied.", "Have the date entered from the status history.")
        }
        Reason::FutureDate => (
            "The status applies from a date after the moment of this run.",
            "Check the moment of the run first; then the clock or the time zone of the source.",
        ),
        Reason::ImplausibleDate => (
            "The date lies before the year 1.",
            "Have the date mended: a placeholder of the source, or a wrong unit in the export.",
        ),
        Reason::BadDeviceId => (
            "The Device ID is missing, or is not an EUI-64.",
            "Have the Device ID mended at its source; the row as found stands in the manifest.",
        ),
        Reason::DuplicateDeviceId => (
            "The same Device ID stands on another row as well.",
            "Find out which of the rows is true, and have the others removed.",
        ),
        Reason::UnknownRole => (
            "The role of the Notifying Party is neither ServiceUser nor CSP.",
            "Have the role mended: it decides whether the party is told.",
        ),
        Reason::MissingParty => (
            "An alert is due, and there is no Notifying Party to send it to.",
            "Have the party entered, or delete such devices outside of housekeeping.",
        ),
        Reason::BadParty => (
            "An alert is due, and the Notifying Party cannot be addressed: it is too long, or not text.",
            "Have the party mended at its source.",
        ),
    }
}
