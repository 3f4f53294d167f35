//! Texts for the run's page: what each reason for quarantine means, and how to fix such rows.

use crate::estate::Reason;

/// What is wrong with rows of this reason, and how to fix them.
pub const fn advice(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::UnknownStatus => (
            "The policy does not know this spelling of the status.",
            "Map the spelling under [snapshot.statuses] of the policy, or have the value fixed at its source.",
        ),
        Reason::MissingStatus => (
            "There is no status, on a device that must have one.",
            "Have the status entered: only IHD and CAD may have none.",
        ),
        Reason::UnknownType => (
            "The device type is missing, or spelt in a way that the policy does not know.",
            "Map the spelling under [snapshot.types], or list a new type under [types], and under [exclude] if it is never to be deleted.",
        ),
        Reason::MissingDate => (
            "The date from which the status has applied is missing, or is no date.",
            "Have the date entered from the status history.",
        ),
        Reason::FutureDate => (
            "The status applies from a date after the moment of this run.",
            "Check the moment of the run first; then the clock or the time zone of the source.",
        ),
        Reason::ImplausibleDate => (
            "The date is before the year 1, or before the earliest date of the policy.",
            "Have the date fixed: a placeholder of the source, or a wrong unit in the export.",
        ),
        Reason::BadDeviceId => (
            "The Device ID is missing, or is not an EUI-64.",
            "Have the Device ID fixed at its source; the manifest has the row as it was found.",
        ),
        Reason::DuplicateDeviceId => {
            ("Another row has the same Device ID.", "Find out which of the rows is right, and have the others removed.")
        }
        Reason::UnknownRole => (
            "The role of the Notifying Party is neither ServiceUser nor CSP.",
            "Have the role fixed: it decides whether the party is alerted.",
        ),
        Reason::MissingParty => (
            "An alert is due, and there is no Notifying Party to send it to.",
            "Have the party entered, or delete such devices outside of housekeeping.",
        ),
        Reason::BadParty => (
            "An alert is due, and the Notifying Party cannot be addressed: it is too long, or not text.",
            "Have the party fixed at its source.",
        ),
    }
}
