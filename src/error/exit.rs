//! Exit codes.

/// The exit codes of the process. Scripts rely on the numbers: see README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, also if nothing was due.
    Done = 0,
    /// Failed at run time: a disk full, a permission missing.
    Failed = 1,
    /// The command line is not valid.
    Usage = 2,
    /// The snapshot is refused, or another table, such as an order book.
    Snapshot = 3,
    /// The policy is refused, or another document that change control signs: stock rules, a tariff.
    Policy = 4,
    /// A guard tripped; nothing was published.
    Guard = 5,
    /// A run does not verify, or is not approved.
    Verification = 6,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// What is at fault where a sweep on a cluster ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterFault {
    /// The command line, or what is installed on this machine.
    Usage,
    /// The snapshot.
    Snapshot,
    /// The cluster.
    Cluster,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_scripts_rely_on() {
        let codes = [
            (ExitCode::Done, 0),
            (ExitCode::Failed, 1),
            (ExitCode::Usage, 2),
            (ExitCode::Snapshot, 3),
            (ExitCode::Policy, 4),
            (ExitCode::Guard, 5),
            (ExitCode::Verification, 6),
            (ExitCode::Interrupted, 130),
        ];
        assert!(codes.iter().all(|(code, number)| *code as u8 == *number));
    }
}
