//! Where a hub of the order book ends up, and what is known of it that decides so.

use std::fmt;

use super::rules::StockRules;
use super::table::Day;

/// The one place in the count for a hub, in the order in which a hub is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Bucket {
    /// Ordered, and not delivered by the count date.
    NotDelivered,
    /// Given back: a return was accepted.
    Returned,
    /// Delivered, and not accepted by the count date.
    NotAccepted,
    /// The inventory says that it was commissioned.
    Commissioned,
    /// The inventory says that it is commissioned, but only since after the count date.
    CommissionedLater,
    /// The inventory has it in a status that is neither charged nor stands for commissioning.
    Exempt,
    /// The inventory has it, and it is not commissioned: what a count of the inventory sees.
    InStock,
    /// The inventory has it no more: a past run deleted it.
    Deleted,
    /// The inventory does not have it, and no run that was named deleted it.
    Unknown,
    /// The inventory contradicts itself, or has a status that nobody knows.
    Unclear,
}

impl Bucket {
    /// How many there are.
    pub const COUNT: usize = 10;
    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NotDelivered,
        Self::Returned,
        Self::NotAccepted,
        Self::Commissioned,
        Self::CommissionedLater,
        Self::Exempt,
        Self::InStock,
        Self::Deleted,
        Self::Unknown,
        Self::Unclear,
    ];

    /// The word in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDelivered => "not_delivered",
            Self::Returned => "returned",
            Self::NotAccepted => "not_accepted",
            Self::Commissioned => "commissioned",
            Self::CommissionedLater => "commissioned_later",
            Self::Exempt => "exempt",
            Self::InStock => "in_stock",
            Self::Deleted => "deleted",
            Self::Unknown => "unknown",
            Self::Unclear => "unclear",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotDelivered => "not delivered",
            Self::Returned => "returned",
            Self::NotAccepted => "delivered, not accepted",
            Self::Commissioned => "commissioned",
            Self::CommissionedLater => "commissioned after the count date",
            Self::Exempt => "in the SMI, status not charged",
            Self::InStock => "in stock, and in the SMI",
            Self::Deleted => "in stock, deleted from the SMI",
            Self::Unknown => "in stock, not in the SMI",
            Self::Unclear => "in the SMI, status unclear",
        }
    }

    /// Whether a count of the inventory alone has it as stock.
    #[must_use]
    pub const fn is_seen_by_the_smi(self) -> bool {
        matches!(self, Self::InStock)
    }

    /// The bucket of a hub that was delivered and accepted on these days.
    #[must_use]
    pub fn of(marks: Marks, delivered: Day, accepted: Day, count: Day) -> Self {
        if !delivered.is_by(count) {
            return Self::NotDelivered;
        }
        if marks.has(Marks::RETURNED) {
            return Self::Returned;
        }
        if !accepted.is_by(count) {
            return Self::NotAccepted;
        }
        match marks.0 & Marks::INVENTORY {
            0 if marks.has(Marks::DELETED) => Self::Deleted,
            0 => Self::Unknown,
            Marks::IN_STOCK => Self::InStock,
            Marks::COMMISSIONED => Self::Commissioned,
            Marks::LATER => Self::CommissionedLater,
            Marks::EXEMPT => Self::Exempt,
            _ => Self::Unclear,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was seen of a hub, one bit each. Bits are only ever added, so that the order of what is seen does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(pub u8);

impl Marks {
    /// A row of the inventory in a charged status.
    pub const IN_STOCK: u8 = 1;
    /// A row in a status that stands for commissioning, by the count date.
    pub const COMMISSIONED: u8 = 1 << 1;
    /// A row in such a status, since after the count date.
    pub const LATER: u8 = 1 << 2;
    /// A row in any other status.
    pub const EXEMPT: u8 = 1 << 3;
    /// A row without a status, or with one that nobody knows.
    pub const UNCLEAR: u8 = 1 << 4;
    /// A row in a status in which a hub is in service, so that it cannot have been returned.
    pub const IN_SERVICE: u8 = 1 << 5;
    /// A past run deleted it.
    pub const DELETED: u8 = 1 << 6;
    /// A return by the count date was accepted.
    pub const RETURNED: u8 = 1 << 7;

    /// The bits that say where the inventory has the hub. More than one is a contradiction.
    pub const INVENTORY: u8 = Self::IN_STOCK | Self::COMMISSIONED | Self::LATER | Self::EXEMPT | Self::UNCLEAR;

    /// Whether any of these bits is set.
    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// What a row of the inventory says. `count` is the last microsecond of the count date.
    #[must_use]
    pub fn of_row(rules: &StockRules, status: u8, since: Option<i64>, count: i64) -> Self {
        let service = if rules.in_service.contains_code(status) { Self::IN_SERVICE } else { 0 };
        let place = if rules.charged.contains_code(status) {
            Self::IN_STOCK
        } else if rules.commissioned.contains_code(status) {
            if since.is_some_and(|since| since > count) { Self::LATER } else { Self::COMMISSIONED }
        } else if crate::estate::SmiStatus::ALL.iter().any(|known| known.code() == status) {
            Self::EXEMPT
        } else {
            Self::UNCLEAR
        };
        Self(place | service)
    }
}
