//! The rule of a policy as one SQL query, for estates that are on another engine.
//!
//! [`compile`] writes months as cutoffs, so that no engine computes with a calendar to decide; three-valued logic is spelled
//! out; and every row of the relation gets a disposition. The query states what [`Rules`] states, and tests compare both on
//! the engines. Belongs here: text of queries. Does not belong here: running them.

mod dialect;

use std::fmt::Write as _;

pub use dialect::Dialect;

use crate::error::{Error, Result};
use crate::estate::{Column, DeviceType, INVISIBLE, Party, Reason, SmiStatus, TypeSet, WHITE_SPACE, time};
use crate::policy::{Cutoff, Policy, Rules};

/// What a query reads, and for which engine it is.
#[derive(Debug, Clone, Copy)]
pub struct QueryOptions<'a> {
    /// The engine.
    pub dialect: Dialect,
    /// A table, or another relation as the engine writes it. Its Device IDs and parties are text, and its times are UTC.
    pub relation: &'a str,
    /// Whether the relation has the column of roles.
    pub has_role: bool,
    /// Further columns of the relation, which the result begins with.
    pub keep: &'a [String],
}

/// The columns of the result after those of [`QueryOptions::keep`].
pub const RESULT: [&str; 14] = [
    "disposition",
    "reason",
    "alert",
    "device_id",
    "device_type",
    "smi_status",
    "status_since_us",
    "due_on",
    "notifying_party",
    "device_id_found",
    "device_type_found",
    "smi_status_found",
    "notifying_party_found",
    "notifying_role_found",
];

/// The query that gives each row of a relation its disposition under a policy, as of a moment in UTC microseconds. The text
/// follows from the arguments alone.
///
/// # Errors
/// [`Error::Usage`] for a spelling that the engine's texts cannot hold, or a column to keep whose name the query uses.
pub fn compile(policy: &Policy, as_of: i64, options: &QueryOptions<'_>) -> Result<String> {
    if let Some(taken) = options.keep.iter().find(|name| is_taken(name)) {
        return Err(Error::Usage {
            what: format!("the column {taken:?} cannot be kept: the query has a column of this name"),
            remedy: "rename it in the relation".into(),
        });
    }
    let dates = &policy.spellings.dates;
    if dates.format.is_some() || dates.zone.is_some() {
        return Err(Error::Usage {
            what: "the policy declares a format or a zone of dates, which a query does not read".into(),
            remedy: "convert the dates to UTC in the relation, and use a policy without these keys".into(),
        });
    }
    let rules = policy.bind(as_of);
    let query = Query { policy, rules: &rules, options };
    let steps = [
        ("found", "The columns of the contract, as they are found.", query.found()),
        (
            "named",
            "Spellings in canonical form. Nothing here is null but a Device ID, a time and a role.",
            query.named()?,
        ),
        ("dated", "The verdict of status, type, time and Device ID, in the order of the rule.", query.dated()?),
        ("shared", "Device IDs that two or more due rows share.", shared().to_owned()),
        ("judged", "The verdict of duplicates, role and party on due rows.", query.judged()),
    ];
    let mut text = query.introduction();
    for (number, (name, purpose, body)) in steps.into_iter().enumerate() {
        let open = if number == 0 { "WITH" } else { "," };
        let _ = write!(text, "{open}\n-- {purpose}\n{name} AS (\n{body}\n)");
    }
    let _ = writeln!(text, "\n{}", query.result());
    Ok(text)
}

/// Whether a step of the query has a column of this name.
fn is_taken(name: &str) -> bool {
    let steps = ["party", "verdict", "outcome", "status_since_found", "status_since_number"];
    RESULT.iter().chain(&steps).any(|own| own.eq_ignore_ascii_case(name))
}

struct Query<'a> {
    policy: &'a Policy,
    rules: &'a Rules,
    options: &'a QueryOptions<'a>,
}

impl Query<'_> {
    fn introduction(&self) -> String {
        let Self { policy, rules, options } = self;
        format!(
            "-- Policy {:?} version {}, digest {}\n-- as of {}, for {}.\n\
             -- Each row of the relation gets one disposition: delete, not_due, excluded, not_candidate or quarantined.\n\
             -- A quarantined row has a reason. Only rows with the disposition delete may be deleted.\n\
             -- Times are UTC microseconds since 1970-01-01.\n",
            policy.name,
            policy.version,
            policy.digest(),
            time::format_instant(rules.as_of()),
            options.dialect.name(),
        )
    }

    fn text(&self, text: &str) -> Result<String> {
        self.options.dialect.text(text).ok_or_else(|| Error::Usage {
            what: format!("the policy maps {text:?}, and {} has no such text", self.options.dialect.name()),
            remedy: "remove the spelling: no row there can have it".into(),
        })
    }

    /// A list of texts for `IN`. If there are none, it has a text that no type and no status has.
    fn list<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Result<String> {
        let all = texts.map(|text| self.text(text)).collect::<Result<Vec<_>>>()?;
        Ok(if all.is_empty() { "'(none)'".into() } else { all.join(", ") })
    }

    fn found(&self) -> String {
        let QueryOptions { dialect, relation, has_role, keep } = self.options;
        let column = |column: Column| {
            let name = self.policy.spellings.name_of(column).unwrap_or(column.name());
            match column {
                Column::NotifyingRole if !has_role => "CAST(NULL AS VARCHAR(20))".to_owned(),
                _ => dialect.identifier(name),
            }
        };
        let found = Column::READ_BY_SWEEP.map(|own| format!("{} AS {}_found", column(own), own.name()));
        let since = format!("{} AS status_since_number", dialect.micros(&column(Column::StatusSince)));
        let kept = keep.iter().map(|name| dialect.identifier(name));
        let columns: Vec<String> = kept.chain(found).chain([since]).collect();
        format!("  SELECT\n    {}\n  FROM {relation}", columns.join(",\n    "))
    }

    fn named(&self) -> Result<String> {
        let Self { policy, options, .. } = self;
        let dialect = options.dialect;
        let mut statuses = String::new();
        for (theirs, ours) in &policy.spellings.statuses {
            let name = ours.map_or("(null)", SmiStatus::name);
            let _ = write!(statuses, " WHEN smi_status_found = {} THEN '{name}'", self.text(theirs)?);
        }
        let mut types = String::new();
        for (theirs, ours) in &policy.spellings.types {
            let name = self.text(policy.types.name(ours.code()))?;
            let _ = write!(types, " WHEN device_type_found = {} THEN {name}", self.text(theirs)?);
        }
        let known_statuses = self.list(SmiStatus::ALL.into_iter().map(SmiStatus::name))?;
        let known_types = self.list(policy.types.iter().map(|(_, name)| name))?;
        let no_date = time::NO_DATES.map(|(first, last)| format!("status_since_number BETWEEN {first} AND {last}"));
        let party = dialect.trim("notifying_party_found", &WHITE_SPACE);
        Ok(format!(
            "  SELECT found.*,\n    \
             CASE WHEN smi_status_found IS NULL THEN '(null)'{statuses} WHEN smi_status_found IN ({known_statuses}) \
             THEN smi_status_found ELSE '(unknown)' END AS smi_status,\n    \
             CASE WHEN device_type_found IS NULL THEN '(null)'{types} WHEN device_type_found IN ({known_types}) \
             THEN device_type_found ELSE '(unknown)' END AS device_type,\n    \
             CASE WHEN {no_date} OR status_since_number NOT BETWEEN {lowest} AND {highest} THEN NULL \
             ELSE status_since_number END AS status_since_us,\n    \
             CASE WHEN device_id_found IS NOT NULL AND {is_id} THEN {canonical} END AS device_id,\n    \
             coalesce({party}, '') AS party\n  FROM found",
            no_date = no_date.join(" OR "),
            // The numbers beyond them stand for no date, too.
            lowest = i64::MIN + 2,
            highest = i64::MAX - 1,
            is_id = dialect.is_device_id("device_id_found"),
            canonical = dialect::canonical_id("device_id_found"),
        ))
    }

    fn dated(&self) -> Result<String> {
        let Self { policy, rules, .. } = self;
        let candidates = self.list(policy.candidate_statuses.iter().map(SmiStatus::name))?;
        let excluded = self.list(policy.types.names_of(policy.exclude))?;
        let type_2 = self.list(policy.types.names_of(TypeSet::TYPE_2))?;
        let silent = self.list(policy.types.names_of(policy.alerts.silent_types))?;
        let (earliest, latest) = (rules.earliest(), rules.latest());
        let due = self.by_threshold(|rules, code| is_due(rules.cutoff(code)))?;
        let reason = Reason::name;
        Ok(format!(
            "  SELECT named.*,\n    CASE\n      \
             WHEN smi_status = '(null)' AND device_type IN ({type_2}) THEN 'not_candidate'\n      \
             WHEN smi_status = '(null)' THEN '{missing_status}'\n      \
             WHEN smi_status = '(unknown)' THEN '{unknown_status}'\n      \
             WHEN smi_status NOT IN ({candidates}) THEN 'not_candidate'\n      \
             WHEN device_type IN ({excluded}) THEN 'excluded'\n      \
             WHEN device_type IN ('(null)', '(unknown)') THEN '{unknown_type}'\n      \
             WHEN status_since_us IS NULL THEN '{missing_date}'\n      \
             WHEN status_since_us > {latest} THEN '{future_date}' -- after {latest_text}\n      \
             WHEN status_since_us < {earliest} THEN '{implausible_date}' -- before {earliest_text}\n      \
             WHEN NOT ({due}) THEN 'not_due'\n      \
             WHEN device_id IS NULL THEN '{bad_id}'\n      \
             ELSE 'due'\n    END AS verdict,\n    \
             CASE coalesce(notifying_role_found, '') WHEN 'ServiceUser' THEN TRUE WHEN 'CSP' THEN FALSE \
             ELSE device_type NOT IN ({silent}) END AS alert\n  FROM named",
            missing_status = reason(Reason::MissingStatus),
            unknown_status = reason(Reason::UnknownStatus),
            unknown_type = reason(Reason::UnknownType),
            missing_date = reason(Reason::MissingDate),
            future_date = reason(Reason::FutureDate),
            implausible_date = reason(Reason::ImplausibleDate),
            bad_id = reason(Reason::BadDeviceId),
            latest_text = time::format_instant(latest),
            earliest_text = time::format_instant(earliest),
        ))
    }

    /// An expression for each threshold, chosen by the type.
    fn by_threshold(&self, expression: impl Fn(&Rules, u8) -> String) -> Result<String> {
        let (policy, rules) = (self.policy, self.rules);
        let own: Vec<DeviceType> =
            policy.types.iter().map(|(t, _)| t).filter(|t| policy.thresholds.by_type.contains_key(t)).collect();
        if own.is_empty() {
            return Ok(expression(rules, DeviceType::UNKNOWN));
        }
        let mut text = "CASE device_type".to_owned();
        for device_type in own {
            let code = device_type.code();
            let name = self.text(policy.types.name(code))?;
            let _ = write!(text, " WHEN {name} THEN {}", expression(rules, code));
        }
        let _ = write!(text, " ELSE {} END", expression(rules, DeviceType::UNKNOWN));
        Ok(text)
    }

    fn judged(&self) -> String {
        let dialect = self.options.dialect;
        let reason = Reason::name;
        format!(
            "  SELECT dated.*,\n    CASE\n      \
             WHEN verdict <> 'due' THEN verdict\n      \
             WHEN shared.device_id IS NOT NULL THEN '{duplicate}'\n      \
             WHEN coalesce(notifying_role_found, 'CSP') NOT IN ('ServiceUser', 'CSP') THEN '{unknown_role}'\n      \
             WHEN alert AND party = '' THEN '{missing_party}'\n      \
             WHEN alert AND ({bytes} > {most} OR {invisible}) THEN '{bad_party}'\n      \
             ELSE 'delete'\n    END AS outcome\n  \
             FROM dated LEFT JOIN shared ON dated.verdict = 'due' AND dated.device_id = shared.device_id",
            duplicate = reason(Reason::DuplicateDeviceId),
            unknown_role = reason(Reason::UnknownRole),
            missing_party = reason(Reason::MissingParty),
            bad_party = reason(Reason::BadParty),
            bytes = dialect.bytes("party"),
            most = Party::MAX_BYTES,
            invisible = dialect.matches("party", &dialect.class(&INVISIBLE)),
        )
    }

    fn result(&self) -> String {
        let dialect = self.options.dialect;
        let due_on = self
            .by_threshold(|rules, code| dialect.date_plus_months("status_since_us", rules.months(code)))
            .unwrap_or_default();
        let kept: Vec<String> = self.options.keep.iter().map(|name| dialect.identifier(name) + ", ").collect();
        format!(
            "SELECT\n  {kept}\
             CASE WHEN outcome IN ('delete', 'not_due', 'excluded', 'not_candidate') THEN outcome ELSE 'quarantined' END \
             AS disposition,\n  \
             CASE WHEN outcome NOT IN ('delete', 'not_due', 'excluded', 'not_candidate') THEN outcome END AS reason,\n  \
             CASE WHEN outcome = 'delete' THEN alert END AS alert,\n  \
             device_id, device_type, smi_status, status_since_us,\n  \
             CASE WHEN outcome = 'delete' THEN {due_on} END AS due_on,\n  \
             CASE WHEN party = '' THEN NULL WHEN {is_id} THEN upper(party) ELSE party END AS notifying_party,\n  \
             device_id_found, device_type_found, smi_status_found, notifying_party_found, notifying_role_found\n\
             FROM judged",
            kept = kept.concat(),
            is_id = dialect.is_dashed_id("party"),
        )
    }
}

fn shared() -> &'static str {
    "  SELECT device_id FROM dated WHERE verdict = 'due' GROUP BY device_id HAVING count(*) > 1"
}

/// Whether a time is due. The intervals after the last instant are at month ends, where adding months is not monotone.
fn is_due(cutoff: &Cutoff) -> String {
    let mut text = format!("status_since_us <= {}", cutoff.last());
    for (first, last) in cutoff.beyond() {
        let _ = write!(text, " OR status_since_us BETWEEN {first} AND {last}");
    }
    text
}
