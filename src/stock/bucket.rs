//! The buckets of a count, and the facts about a hub that decide its bucket.

use std::fmt;

use super::table::Day;

/// The bucket of a hub. The first that applies, in this order, is the hub's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Bucket {
    /// Not delivered by the count date.
    NotDelivered,
    /// Returned by the count date: a return was accepted.
    Returned,
    /// Delivered, not accepted by the count date.
    NotAccepted,
    /// In the inventory in a commissioned status.
    Commissioned,
    /// In the inventory in a commissioned status that began after the count date.
    CommissionedLater,
    /// In the inventory in a status that is neither charged nor commissioned.
    Exempt,
    /// In the inventory in a charged status.
    InStock,
    /// Not in the inventory: a past run deleted it.
    Deleted,
    /// Not in the inventory, and none of the given runs deleted it.
    Unknown,
    /// In the inventory with contradicting rows or an unknown status.
    Unclear,
}

impl Bucket {
    /// Number of buckets.
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

    /// Its name in files.
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

    /// Its description on pages and in the record.
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

    /// Whether a count of the inventory alone counts these hubs as stock.
    #[must_use]
    pub const fn is_seen_by_the_smi(self) -> bool {
        matches!(self, Self::InStock)
    }

    /// The bucket of a hub that was delivered and accepted on these days.
    #[must_use]
    pub fn of(flags: HubFlags, delivered: Day, accepted: Day, count: Day) -> Self {
        if !delivered.is_by(count) {
            return Self::NotDelivered;
        }
        if flags.has(HubFlags::RETURNED) {
            return Self::Returned;
        }
        if !accepted.is_by(count) {
            return Self::NotAccepted;
        }
        match flags.0 & HubFlags::INVENTORY {
            0 if flags.has(HubFlags::DELETED) => Self::Deleted,
            0 => Self::Unknown,
            HubFlags::IN_STOCK => Self::InStock,
            HubFlags::COMMISSIONED => Self::Commissioned,
            HubFlags::LATER => Self::CommissionedLater,
            HubFlags::EXEMPT => Self::Exempt,
            _ => Self::Unclear,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Facts about a hub, one bit each. Bits are only set, never cleared, so the order of rows and threads has no effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubFlags(pub u8);

impl HubFlags {
    /// A row of the inventory in a charged status.
    pub const IN_STOCK: u8 = 1;
    /// A row in a commissioned status that began by the count date.
    pub const COMMISSIONED: u8 = 1 << 1;
    /// A row in a commissioned status that began after the count date.
    pub const LATER: u8 = 1 << 2;
    /// A row in any other status.
    pub const EXEMPT: u8 = 1 << 3;
    /// A row with a null or unknown status.
    pub const UNCLEAR: u8 = 1 << 4;
    /// A row in a status of a hub in service, for which a return is refused.
    pub const IN_SERVICE: u8 = 1 << 5;
    /// A past run deleted it.
    pub const DELETED: u8 = 1 << 6;
    /// A return by the count date was accepted.
    pub const RETURNED: u8 = 1 << 7;

    /// The bits set by rows of the inventory, besides `IN_SERVICE`. More than one is a contradiction.
    pub const INVENTORY: u8 = Self::IN_STOCK | Self::COMMISSIONED | Self::LATER | Self::EXEMPT | Self::UNCLEAR;

    /// Whether any of these bits is set.
    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}
