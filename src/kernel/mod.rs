//! Inner loops that use wide instructions of the processor where it has them.
//!
//! A [`Kernel`] is a set of instructions. All kernels give the same results; which one runs is decided once, when the
//! process starts. Belongs here: loops over bytes that know nothing of Parquet and policies. Does not belong here: what the
//! bytes mean.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::fmt;
use std::sync::OnceLock;

/// Entries of the tables by which packed numbers are mapped: all numbers of 6 bits.
pub const TABLE: usize = 64;
/// The entry of a table for a number that must not occur.
pub const NO_ENTRY: u8 = 0xFF;
/// The environment variable that names the kernel to use, for testers.
pub const VARIABLE: &str = "SMI_SWEEP_KERNEL";

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Instructions);

/// Only [`Kernel::available`] makes one, so that the processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Default for Kernel {
    /// The kernel that [`VARIABLE`] names, if the processor has it, else the fastest one.
    fn default() -> Self {
        static CHOSEN: OnceLock<Kernel> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var(VARIABLE).unwrap_or_default();
            Self::named(&name).unwrap_or_else(Self::fastest)
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kernel {
    /// The kernels that this processor can run, the fastest first; the last one is portable.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if avx512::is_available() {
                all.push(Self(Instructions::Avx512));
            }
            if avx2::is_available() {
                all.push(Self(Instructions::Avx2));
            }
        }
        all.push(Self::PORTABLE);
        all
    }

    /// The kernel without special instructions.
    pub const PORTABLE: Self = Self(Instructions::Portable);

    /// The fastest kernel that this processor can run.
    #[must_use]
    pub fn fastest() -> Self {
        Self::available().first().copied().unwrap_or(Self::PORTABLE)
    }

    /// The kernel of this name; `None` if there is none or the processor cannot run it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|kernel| kernel.name() == name)
    }

    /// `portable`, `avx2` or `avx512`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "avx512",
        }
    }

    /// Unpacks numbers of `width` bits, 1 to 6, least significant bits first, and fills `out` with their entries in
    /// `table`. Returns whether all entries exist: none is [`NO_ENTRY`]. Missing bytes are read as zero.
    #[must_use]
    #[inline]
    pub fn map_packed(self, packed: &[u8], width: u8, table: &[u8; TABLE], out: &mut [u8]) -> bool {
        match self.0 {
            Instructions::Portable => portable::map_packed(packed, width, table, out),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx2 => unsafe { avx2::map_packed(packed, width, table, out) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx512 => unsafe { avx512::map_packed(packed, width, table, out) },
        }
    }

    /// Fills `out` with the next of `values` where the row's bit in `present` is 1, and with `absent` elsewhere. Bit 0 of
    /// `present` is the bit of the first row. Missing bits are read as 0, and missing values as `absent`.
    #[inline]
    pub fn spread(self, values: &[u8], present: &[u64], absent: u8, out: &mut [u8]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx512 => unsafe { avx512::spread(values, present, absent, out) },
            _ => portable::spread(values, present, absent, out),
        }
    }

    /// Adds the number of rows of each type, below 64, to `by_type`.
    #[inline]
    pub fn count_types(self, types: &[u8], by_type: &mut [u32; TABLE]) {
        match self.0 {
            Instructions::Portable => portable::count_types(types, by_type),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx2 => unsafe { avx2::count_types(types, by_type) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx512 => unsafe { avx512::count_types(types, by_type) },
        }
    }

    /// For rows whose status is closed, adds their number by type to `by_type`; appends the indices of all other rows to
    /// `others`. Statuses are below 16, types below 64; the longer list is cut.
    #[inline]
    pub fn count_closed(
        self,
        (statuses, types): (&[u8], &[u8]),
        closed: &[bool; 16],
        by_type: &mut [u32; TABLE],
        others: &mut Vec<u32>,
    ) {
        let rows = statuses.len().min(types.len());
        let (statuses, types) = (&statuses[..rows], &types[..rows]);
        match self.0 {
            Instructions::Portable => portable::count_closed((statuses, types), closed, by_type, others),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx2 => unsafe { avx2::count_closed((statuses, types), closed, by_type, others) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that needs instructions")]
            // SAFETY: `available` found that the processor has the instructions.
            Instructions::Avx512 => unsafe { avx512::count_closed((statuses, types), closed, by_type, others) },
        }
    }
}

/// The types that were met so far, at most 16, so that rows of known types are counted by comparing vectors.
struct KnownTypes {
    types: [u8; Self::MOST],
    len: usize,
}

impl KnownTypes {
    const MOST: usize = 16;

    const fn new() -> Self {
        Self { types: [0; Self::MOST], len: 0 }
    }

    fn known(&self) -> &[u8] {
        &self.types[..self.len]
    }

    /// Makes a type known, if there is room.
    #[cold]
    fn meet(&mut self, device_type: u8) {
        if self.len < Self::MOST {
            self.types[self.len] = device_type;
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(numbers: &[u8], width: u8) -> Vec<u8> {
        let mut bytes = vec![0u8; (numbers.len() * usize::from(width)).div_ceil(8)];
        for (index, &number) in numbers.iter().enumerate() {
            for bit in 0..usize::from(width) {
                let at = index * usize::from(width) + bit;
                bytes[at / 8] |= (number >> bit & 1) << (at % 8);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn all_kernels_map_alike(
            width in 1u8..=6,
            numbers in prop::collection::vec(any::<u8>(), 0..700),
            entries in 1usize..=64,
            salt in any::<u8>(),
        ) {
            let numbers: Vec<u8> = numbers.into_iter().map(|number| number & ((1 << width) - 1)).collect();
            let table: [u8; TABLE] =
                std::array::from_fn(|k| if k < entries { (k as u8).wrapping_mul(7) ^ (salt & 0x3F) } else { NO_ENTRY });
            let expected: Vec<u8> = numbers.iter().map(|&number| table[usize::from(number)]).collect();
            let fine = !expected.contains(&NO_ENTRY);
            // Memory that ends with the last byte, so that a tool for memory errors notices a read beyond it.
            let packed = pack(&numbers, width).into_boxed_slice();
            for kernel in Kernel::available() {
                let mut out = vec![0xAA; numbers.len()];
                prop_assert_eq!(kernel.map_packed(&packed, width, &table, &mut out), fine, "{}", kernel);
                prop_assert_eq!(&out, &expected, "{}", kernel);
            }
        }

        #[test]
        fn all_kernels_spread_alike(rows in prop::collection::vec(prop::option::weighted(0.9, 0u8..16), 0..400), absent in any::<u8>()) {
            let values: Vec<u8> = rows.iter().copied().flatten().collect();
            let mut present = vec![0u64; rows.len().div_ceil(64)];
            for (row, value) in rows.iter().enumerate() {
                present[row / 64] |= u64::from(value.is_some()) << (row % 64);
            }
            let expected: Vec<u8> = rows.iter().map(|value| value.unwrap_or(absent)).collect();
            for kernel in Kernel::available() {
                let mut out = vec![0xAA; rows.len()];
                kernel.spread(&values, &present, absent, &mut out);
                prop_assert_eq!(&out, &expected, "{}", kernel);
            }
        }

        #[test]
        fn all_kernels_count_alike(
            rows in prop::collection::vec((0u8..16, 0u8..64), 0..400),
            repeat in 1usize..30,
            few in any::<bool>(),
            closed in any::<[bool; 16]>(),
        ) {
            // With few types they are counted by vectors; with many, the list of known types is full. Repetition makes
            // the counters of single bytes overflow.
            let one: Vec<(u8, u8)> = rows.into_iter().map(|(s, t)| (s, if few { t % 5 } else { t })).collect();
            let rows = one.repeat(repeat);
            let (statuses, types): (Vec<u8>, Vec<u8>) = rows.iter().copied().unzip();
            let (mut expected, mut others) = ([7u32; TABLE], vec![5]);
            for (row, &(status, device_type)) in rows.iter().enumerate() {
                if closed[usize::from(status)] {
                    expected[usize::from(device_type)] += 1;
                } else {
                    others.push(row as u32);
                }
            }
            let mut all = [7u32; TABLE];
            for &t in &types {
                all[usize::from(t)] += 1;
            }
            for kernel in Kernel::available() {
                let (mut by_type, mut found) = ([7u32; TABLE], vec![5]);
                kernel.count_closed((&statuses, &types), &closed, &mut by_type, &mut found);
                prop_assert_eq!(by_type, expected, "{}", kernel);
                prop_assert_eq!(&found, &others, "{}", kernel);
                let mut by_type = [7u32; TABLE];
                kernel.count_types(&types, &mut by_type);
                prop_assert_eq!(by_type, all, "{}", kernel);
            }
        }
    }

    #[test]
    fn a_kernel_is_found_by_its_name_and_only_where_it_runs() {
        for kernel in Kernel::available() {
            assert_eq!(Kernel::named(kernel.name()), Some(kernel));
        }
        assert_eq!(Kernel::named("portable"), Some(Kernel::PORTABLE));
        assert_eq!(Kernel::named("neon"), None);
    }

    #[test]
    fn too_few_bytes_are_read_as_zero() {
        let table: [u8; TABLE] = std::array::from_fn(|k| k as u8 + 1);
        for kernel in Kernel::available() {
            let mut out = [0; 100];
            assert!(kernel.map_packed(&[0xFF], 3, &table, &mut out));
            assert_eq!(out[..4], [8, 8, 4, 1]);
            assert!(out[4..].iter().all(|&code| code == 1), "{kernel}");
            kernel.spread(&[3], &[0b101], 9, &mut out);
            assert_eq!(out[..4], [3, 9, 9, 9], "{kernel}");
        }
    }
}
