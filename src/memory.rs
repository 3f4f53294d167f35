//! The memory limit of the process. Buffers whose size depends on what a file claims are counted before they are made.
//!
//! The limit holds for all such buffers of the process together: unpacked pages, dictionaries and lists of due rows. What a
//! file maps is not counted, because the system takes it back when it needs memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// The limit, unless another is set: 1 GiB.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

static LIMIT: AtomicU64 = AtomicU64::new(DEFAULT_LIMIT);
static RESERVED: AtomicU64 = AtomicU64::new(0);

/// Sets the limit of the process in bytes.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// The limit of the process in bytes.
#[must_use]
pub fn limit() -> u64 {
    LIMIT.load(Ordering::Relaxed)
}

/// Memory that is counted against the limit until this is dropped.
#[derive(Debug, Default)]
pub struct Reserved(u64);

/// The limit does not allow so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit;

impl Reserved {
    /// Reserves memory so that at least `bytes` are reserved in all.
    ///
    /// # Errors
    /// More than the limit leaves; nothing is reserved then.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let more = (bytes as u64).saturating_sub(self.0);
        if more == 0 {
            return Ok(());
        }
        let limit = limit();
        let grown = |reserved: u64| reserved.checked_add(more).filter(|&total| total <= limit);
        RESERVED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).map_err(|_| OverLimit)?;
        self.0 += more;
        Ok(())
    }

    /// Reserves so many bytes more.
    ///
    /// # Errors
    /// As [`grow_to`](Self::grow_to).
    pub fn add(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let total = self.0.saturating_add(bytes as u64);
        self.grow_to(usize::try_from(total).map_err(|_| OverLimit)?)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let mut one = Reserved::default();
        one.grow_to(1000).unwrap();
        one.grow_to(500).unwrap();
        assert_eq!(one.0, 1000);
        one.add(24).unwrap();
        assert_eq!(one.0, 1024);
        assert_eq!(Reserved::default().grow_to(usize::MAX), Err(OverLimit));
        drop(one);
        assert!(Reserved::default().grow_to(DEFAULT_LIMIT as usize / 2).is_ok());
    }
}
