//! Runs that were stopped by guards.

use std::fmt;

/// A limit of a policy that a run exceeded.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardTrip {
    /// The policy whose guard it is.
    pub policy: String,
    /// The guard's key in the policy, or the flag that replaces it.
    pub guard: String,
    /// The figure of the run, and the limit, in words.
    pub what: String,
    /// The flag that accepts exactly this run.
    pub flag: String,
}

/// The guards that stopped a run, of all its policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// At least one, in the order of the policies.
    pub trips: Vec<GuardTrip>,
    /// Number of policies of the run. Only a run with one policy can be accepted by exact numbers.
    pub policies: usize,
}

impl Stopped {
    /// For each policy that was stopped, its name and the flags that accept exactly this run.
    fn flags(&self) -> Vec<(&str, String)> {
        let mut all: Vec<(&str, String)> = Vec::new();
        for trip in &self.trips {
            match all.last_mut().filter(|(policy, _)| *policy == trip.policy) {
                Some((_, flags)) if flags.contains(&trip.flag) => {}
                Some((_, flags)) => *flags = format!("{flags} {}", trip.flag),
                None => all.push((&trip.policy, trip.flag.clone())),
            }
        }
        all
    }

    /// The flags that accept this run, to be used once every row that the guards stopped is explained.
    #[must_use]
    pub fn remedy(&self) -> String {
        let flags = self.flags();
        if self.policies == 1 {
            let flags: Vec<&str> = flags.iter().map(|(_, flags)| flags.as_str()).collect();
            return format!("if every one of them is accounted for: {}", flags.join(" "));
        }
        let alone: Vec<String> = flags.iter().map(|(policy, flags)| format!("`{policy}` with {flags}")).collect();
        format!("if every one of them is accounted for, sweep alone by {}, or raise the guards", alone.join(", by "))
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut policy = "";
        for trip in &self.trips {
            if trip.policy == policy {
                write!(f, ", {}", trip.what)?;
            } else {
                let then = if policy.is_empty() { "" } else { "; " };
                write!(f, "{then}policy `{}`: stopped by its guards: {}", trip.policy, trip.what)?;
            }
            policy = &trip.policy;
        }
        f.write_str("; nothing was published")
    }
}
