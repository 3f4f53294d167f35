//! One row of a synthetic estate, as a function of the seed and the row's number.
//!
//! All of it is assumed: the shares of types, statuses and parties, and for how long devices have been pending (a median
//! of about three months, years for some, longer for Comms Hubs).

use crate::estate::time::DAY_MICROS;
use crate::estate::{DeviceId, DeviceType, SmiStatus};

/// A synthetic estate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estate {
    /// The seed of all random choices.
    pub seed: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The moment at which the snapshot is taken, UTC microseconds.
    pub as_of: i64,
    /// Whether about one row in a hundred has a defect, of every kind.
    pub defects: bool,
}

/// A row of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SynthRow {
    /// The Device ID as text; an EUI-64 unless the row has a defect.
    pub device_id: Option<String>,
    /// The device type; null or unknown where the row has a defect.
    pub device_type: Option<&'static str>,
    /// The status; null for Type 2 devices, null or unknown where the row has a defect.
    pub smi_status: Option<&'static str>,
    /// From when the status has applied, UTC microseconds.
    pub status_since: Option<i64>,
    /// The Notifying Party; an EUI-64 as text unless the row has a defect.
    pub notifying_party: Option<String>,
    /// The role of the party. Only in an estate with defects.
    pub notifying_role: Option<&'static str>,
    /// The CSP region. Only in a history.
    pub csp_region: Option<&'static str>,
}

/// Device types and their shares in thousandths.
pub(super) const TYPES: [(DeviceType, u64); 8] = [
    (DeviceType::CHF, 210),
    (DeviceType::GPF, 210),
    (DeviceType::ESME, 210),
    (DeviceType::GSME, 140),
    (DeviceType::PPMID, 170),
    (DeviceType::IHD, 40),
    (DeviceType::CAD, 10),
    (DeviceType::HCALCS, 10),
];

/// Statuses and their shares in thousandths.
const STATUSES: [(SmiStatus, u64); 9] = [
    (SmiStatus::Commissioned, 880),
    (SmiStatus::Pending, 40),
    (SmiStatus::InstalledNotCommissioned, 20),
    (SmiStatus::Whitelisted, 10),
    (SmiStatus::Decommissioned, 25),
    (SmiStatus::Withdrawn, 15),
    (SmiStatus::Suspended, 5),
    (SmiStatus::Recovery, 2),
    (SmiStatus::Recovered, 3),
];

/// Shares of the six large Service Users in hundredths; the rest is spread over [`SMALL_PARTIES`].
const LARGE_PARTIES: [u64; 6] = [24, 20, 17, 13, 11, 8];
/// The number of small Service Users, whose shares fall with their rank.
const SMALL_PARTIES: u32 = 144;
/// The number of Communication Service Providers, which notify Comms Hubs.
const CSPS: u64 = 3;
/// The number of manufacturers. The leading 24 bits of a Device ID identify one.
const MAKERS: u64 = 40;

/// A defect of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    UnknownStatus,
    MissingStatus,
    UnknownType,
    MissingType,
    MissingDate,
    FutureDate,
    MalformedId,
    MissingId,
    SameIdAsTheRowBefore,
    UnknownRole,
    MissingParty,
    BlankParty,
    LowerCaseId,
    HubOfAServiceUser,
    MeterOfACsp,
}

const DEFECTS: [Defect; 15] = [
    Defect::UnknownStatus,
    Defect::MissingStatus,
    Defect::UnknownType,
    Defect::MissingType,
    Defect::MissingDate,
    Defect::FutureDate,
    Defect::MalformedId,
    Defect::MissingId,
    Defect::SameIdAsTheRowBefore,
    Defect::UnknownRole,
    Defect::MissingParty,
    Defect::BlankParty,
    Defect::LowerCaseId,
    Defect::HubOfAServiceUser,
    Defect::MeterOfACsp,
];

/// In an estate with defects, one in this many rows has one.
const ONE_IN: u64 = 100;

impl Estate {
    /// The row with this number, from 0.
    #[must_use]
    pub fn row(&self, number: u64) -> SynthRow {
        let mut random = SplitMix64(mix(self.seed ^ mix(number)));
        let device_type = pick(&TYPES, random.below(1000));
        let status = pick(&STATUSES, random.below(1000));
        let hub = matches!(device_type, DeviceType::CHF | DeviceType::GPF);
        let age = match status {
            SmiStatus::Pending => pending_days(&mut random, hub) * 86_400.0,
            _ => random.unit() * 8.0 * 365.25 * 86_400.0,
        };
        // Inventories keep whole seconds.
        let since = self.as_of - (age as i64).saturating_mul(1_000_000);
        let party = if hub { csp(&mut random) } else { service_user(&mut random) };
        let type_2 = matches!(device_type, DeviceType::IHD | DeviceType::CAD);
        let mut row = SynthRow {
            device_id: Some(self.id(number).to_string()),
            device_type: DeviceType::BUILT_IN.get(usize::from(device_type.code())).copied(),
            smi_status: (!type_2).then(|| status.name()),
            status_since: Some(since),
            notifying_party: Some(party.to_string()),
            notifying_role: None,
            csp_region: None,
        };
        if self.defects {
            if self.defect(number + 1) == Some(Defect::SameIdAsTheRowBefore) {
                self.make_due(&mut row, "ESME");
            }
            if let Some(defect) = self.defect(number) {
                self.spoil(&mut row, number, defect);
            }
        }
        row
    }

    /// Changes the type of a row, and its party to one that notifies such devices.
    pub(super) fn as_type(&self, number: u64, device_type: DeviceType, row: &mut SynthRow) {
        let mut random = SplitMix64(mix(self.seed ^ 0x5459_5045 ^ mix(number)));
        let hub = matches!(device_type, DeviceType::CHF | DeviceType::GPF);
        let party = if hub { csp(&mut random) } else { service_user(&mut random) };
        row.device_type = DeviceType::BUILT_IN.get(usize::from(device_type.code())).copied();
        row.notifying_party = Some(party.to_string());
    }

    /// A unique Device ID: the shuffled row number in the low 40 bits, behind the prefix of a manufacturer.
    fn id(&self, number: u64) -> DeviceId {
        let maker = mix(self.seed ^ mix(number) ^ 0x4D41_4B45) % MAKERS;
        let shuffled = (number.wrapping_mul(0x9E37_79B9_7F4B) ^ self.seed) & 0xFF_FFFF_FFFF;
        DeviceId((mix(maker) >> 40 & 0xFC_FFFF) << 40 | shuffled)
    }

    fn defect(&self, number: u64) -> Option<Defect> {
        let roll = mix(mix(self.seed ^ 0x0DEF_EC75) ^ mix(number));
        roll.is_multiple_of(ONE_IN).then(|| DEFECTS[(roll / ONE_IN % DEFECTS.len() as u64) as usize])
    }

    /// Makes a row due, so that only its defect keeps it from being deleted.
    fn make_due(&self, row: &mut SynthRow, device_type: &'static str) {
        row.device_type = Some(device_type);
        row.smi_status = Some(SmiStatus::Pending.name());
        row.status_since = Some(self.as_of - 1_200 * DAY_MICROS);
    }

    fn spoil(&self, row: &mut SynthRow, number: u64, defect: Defect) {
        self.make_due(row, "ESME");
        match defect {
            Defect::UnknownStatus => row.smi_status = Some("PENDING?"),
            Defect::MissingStatus => row.smi_status = None,
            Defect::UnknownType => row.device_type = Some("XSME"),
            Defect::MissingType => row.device_type = None,
            Defect::MissingDate => row.status_since = None,
            Defect::FutureDate => row.status_since = Some(self.as_of + 30 * DAY_MICROS),
            Defect::MalformedId => row.device_id = row.device_id.take().map(|id| id[..20].to_owned()),
            Defect::MissingId => row.device_id = None,
            Defect::SameIdAsTheRowBefore => {
                row.device_id = Some(self.id(number.saturating_sub(1)).to_string());
            }
            Defect::UnknownRole => row.notifying_role = Some("Installer"),
            Defect::MissingParty => row.notifying_party = None,
            Defect::BlankParty => row.notifying_party = Some(String::new()),
            Defect::LowerCaseId => row.device_id = row.device_id.take().map(|id| id.to_lowercase()),
            Defect::HubOfAServiceUser => {
                row.device_type = Some("CHF");
                row.notifying_role = Some("ServiceUser");
            }
            Defect::MeterOfACsp => row.notifying_role = Some("CSP"),
        }
    }
}

/// For how many days a device has been pending: months for most, years for some.
fn pending_days(random: &mut SplitMix64, hub: bool) -> f64 {
    let mean = if random.below(100) < 85 { 120.0 } else { 500.0 };
    let days = -mean * (1.0 - random.unit()).ln();
    if hub { days * 1.5 } else { days }
}

pub(super) fn service_user(random: &mut SplitMix64) -> DeviceId {
    let mut roll = random.below(100);
    for (rank, share) in LARGE_PARTIES.into_iter().enumerate() {
        if roll < share {
            return party(1 + rank as u64);
        }
        roll -= share;
    }
    // A power of a uniform number is distributed so that small ranks are frequent.
    let rank = f64::from(SMALL_PARTIES + 1).powf(random.unit()) as u64;
    party(LARGE_PARTIES.len() as u64 + rank.min(u64::from(SMALL_PARTIES)))
}

fn csp(random: &mut SplitMix64) -> DeviceId {
    party(0xC000 + random.below(CSPS))
}

fn party(number: u64) -> DeviceId {
    DeviceId(0x90B3_D51F_3000_0000 | number)
}

pub(super) fn pick<T: Copy>(shares: &[(T, u64)], mut roll: u64) -> T {
    for &(item, share) in shares {
        if roll < share {
            return item;
        }
        roll -= share;
    }
    shares[0].0
}

/// The random number generator SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 up to, but not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit into the mantissa")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

pub(super) const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
