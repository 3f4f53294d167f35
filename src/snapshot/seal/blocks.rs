//! Digests of the blocks of a file, so that a part of it can be verified alone.
//!
//! BLAKE3 is a tree over chunks of 1 KiB (BLAKE3 paper, section 2.1). A block is a complete subtree of 64 chunks, and its
//! digest is the chaining value of that subtree. The digests of all blocks give the digest of the file without reading
//! it, so that a list of blocks can be compared with that digest.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a block; the last one of a file has what is left.
pub const BLOCK_BYTES: usize = 64 << 10;

/// Number of blocks of a file.
const fn blocks_of(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK_BYTES)
}

/// The digest of a block of a file that has several. `index` is its zero-based number.
fn digest_of(index: usize, bytes: &[u8]) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset((index * BLOCK_BYTES) as u64);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// The digests of consecutive blocks of a file. `first` is the number of the first one, `bytes` are all of their bytes.
pub fn digests_of(first: usize, bytes: &[u8]) -> Vec<ChainingValue> {
    (first..).zip(bytes.chunks(BLOCK_BYTES)).map(|(index, block)| digest_of(index, block)).collect()
}

/// The digest of a file of at least two blocks.
fn root(blocks: &[ChainingValue]) -> blake3::Hash {
    let (left, right) = blocks.split_at(left_blocks(blocks.len()));
    merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// The digest of a subtree of at least one block.
fn subtree(blocks: &[ChainingValue]) -> ChainingValue {
    if let [block] = blocks {
        return *block;
    }
    let (left, right) = blocks.split_at(left_blocks(blocks.len()));
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// Blocks of the left child of a node over `blocks` blocks: the largest power of two that is less (BLAKE3 paper, 2.1).
const fn left_blocks(blocks: usize) -> usize {
    blocks.next_power_of_two() / 2
}

fn claims(bytes: usize) -> Vec<AtomicU64> {
    (0..blocks_of(bytes).max(1).div_ceil(64)).map(|_| AtomicU64::new(0)).collect()
}

/// The digests of the blocks of one file, and which of them are verified.
#[derive(Debug)]
pub struct BlockDigests {
    /// The digest of the whole file.
    file: blake3::Hash,
    /// The digest of each block; empty for a file of one block, whose digest is that of the file.
    blocks: Vec<ChainingValue>,
    /// Size of the file.
    bytes: usize,
    /// A bit for each block that a worker has taken on to verify.
    claimed: Vec<AtomicU64>,
}

/// A block that is not the one that was sealed: its bytes within the file.
pub type BrokenBlock = Range<usize>;

impl BlockDigests {
    /// The digests of a file of this size.
    ///
    /// # Errors
    /// What is wrong, as the subject of a sentence: blocks that are not those of a file of this size, or that do not give the digest of the file.
    pub fn new(file: blake3::Hash, bytes: usize, blocks: Vec<ChainingValue>) -> Result<Self, &'static str> {
        let count = blocks_of(bytes);
        if blocks.len() != if count > 1 { count } else { 0 } {
            return Err("the digests of the blocks");
        }
        if count > 1 && root(&blocks) != file {
            return Err("the digests of the blocks");
        }
        Ok(Self { file, blocks, bytes, claimed: claims(bytes) })
    }

    /// The digests of a file whose blocks have these. `whole` has the bytes of a file of one block.
    pub fn of(bytes: usize, mut blocks: Vec<ChainingValue>, whole: &[u8]) -> Self {
        let several = blocks_of(bytes) > 1;
        let file = if several { root(&blocks) } else { blake3::hash(whole) };
        if !several {
            blocks.clear();
        }
        Self { file, bytes, claimed: claims(bytes), blocks }
    }

    /// Size of the file in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The digest of each block; empty for a file of one block.
    pub fn blocks(&self) -> &[ChainingValue] {
        &self.blocks
    }

    /// The digest of the whole file.
    pub const fn file(&self) -> blake3::Hash {
        self.file
    }

    /// The bytes of all blocks that have a byte of `range`.
    pub fn whole_blocks(&self, range: &Range<usize>) -> Range<usize> {
        if range.is_empty() {
            return range.start..range.start;
        }
        range.start / BLOCK_BYTES * BLOCK_BYTES..(blocks_of(range.end) * BLOCK_BYTES).min(self.bytes)
    }

    /// Compares whole blocks with their digests. `start` is the offset of `bytes` in the file.
    ///
    /// # Errors
    /// The first block that differs.
    pub fn verify(&self, start: usize, bytes: &[u8]) -> Result<(), BrokenBlock> {
        let first = start / BLOCK_BYTES;
        for (index, block) in (first..).zip(bytes.chunks(BLOCK_BYTES)) {
            self.verify_block(index, block)?;
        }
        Ok(())
    }

    fn verify_block(&self, index: usize, block: &[u8]) -> Result<(), BrokenBlock> {
        let same = match self.blocks.get(index) {
            Some(digest) => digest_of(index, block) == *digest,
            None => index == 0 && self.blocks.is_empty() && blake3::hash(block) == self.file,
        };
        let start = index * BLOCK_BYTES;
        if same { Ok(()) } else { Err(start..start + block.len()) }
    }

    /// Compares those blocks with their digests that have a byte of `range` and were not compared before. `file` is the
    /// whole file. Returns the bytes of the blocks that this call compared.
    ///
    /// Workers that ask for the same blocks at the same time share them out: a block that another worker is comparing is
    /// skipped. So a result is certain only when all workers have ended without an error.
    ///
    /// # Errors
    /// The first block that differs.
    pub fn verify_once(&self, file: &[u8], range: &Range<usize>) -> Result<usize, BrokenBlock> {
        let blocks = self.whole_blocks(range);
        let mut compared = 0;
        for (start, block) in (blocks.start..).step_by(BLOCK_BYTES).zip(file[blocks].chunks(BLOCK_BYTES)) {
            let index = start / BLOCK_BYTES;
            let mask = 1 << (index % 64);
            let word = &self.claimed[index / 64];
            if word.load(Ordering::Relaxed) & mask == 0 && word.fetch_or(mask, Ordering::Relaxed) & mask == 0 {
                self.verify_block(index, block)?;
                compared += block.len();
            }
        }
        Ok(compared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(content: &[u8]) -> BlockDigests {
        let digests = BlockDigests::of(content.len(), digests_of(0, content), content);
        assert_eq!(digests.file, blake3::hash(content), "{}", content.len());
        BlockDigests::new(digests.file, content.len(), digests.blocks).unwrap()
    }

    #[test]
    fn blocks_give_the_digest_of_the_file_whatever_its_size() {
        for blocks in 0..20 {
            for more in [-1, 0, 1, 1024] {
                let bytes = usize::try_from(blocks * BLOCK_BYTES as i64 + more).unwrap_or_default();
                let content: Vec<u8> = (0..bytes).map(|at| (at / 251) as u8 ^ at as u8).collect();
                let digests = sealed(&content);
                assert_eq!(digests.verify(0, &content), Ok(()));
                assert_eq!(digests.verify_once(&content, &(0..bytes)), Ok(bytes));
                assert_eq!(digests.verify_once(&content, &(0..bytes)), Ok(0), "each block is compared once");
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found_where_its_block_is_read_and_nowhere_else() {
        let content: Vec<u8> = (0..5 * BLOCK_BYTES + 100).map(|at| (at / 251) as u8 ^ at as u8).collect();
        for at in [0, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7, content.len() - 1] {
            let mut flipped = content.clone();
            flipped[at] ^= 1;
            for block in 0..6 {
                let digests = sealed(&content);
                let start = block * BLOCK_BYTES;
                let range = start + 5..start + 6;
                let found = digests.verify_once(&flipped, &range);
                assert_eq!(found.is_err(), block == at / BLOCK_BYTES, "{at} {block}");
                let blocks = digests.whole_blocks(&range);
                assert_eq!(digests.verify(blocks.start, &flipped[blocks.clone()]).is_err(), found.is_err());
            }
        }
    }

    #[test]
    fn blocks_of_another_file_are_refused() {
        let content = vec![7; 3 * BLOCK_BYTES];
        let blocks = digests_of(0, &content);
        let new = |bytes, blocks| BlockDigests::new(blake3::hash(&content), bytes, blocks).map(drop);
        assert_eq!(new(content.len(), blocks.clone()), Ok(()));
        assert!(new(content.len() + 1, blocks.clone()).is_err());
        assert!(new(content.len(), blocks[..2].to_vec()).is_err());
        assert!(new(content.len(), vec![blocks[0], blocks[0], blocks[2]]).is_err());
        assert!(new(10, blocks).is_err());
    }
}
