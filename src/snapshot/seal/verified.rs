//! The seals of a snapshot: finds them, verifies the files below each, and keeps what they state.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::SEAL_FILE;
use super::document::{DeviceIds, Seal, SealSchema};
use super::verify::{SealedFolder, device_id_columns};
use crate::error::Result;
use crate::output::folder_of;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::snapshot::SourceFile;

/// A seal that its files agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSeal {
    /// Its path.
    pub path: PathBuf,
    /// Its name in run records: the path below the folder that the user named, or the file name.
    pub name: String,
    /// The version of its format.
    pub schema: SealSchema,
    /// Its own digest: BLAKE3, in hex, of everything that it states.
    pub digest: String,
    /// When the snapshot was taken, as it states; not yet parsed.
    pub taken_at: Option<String>,
    /// Whether it covers all files of the snapshot and states that the Device IDs that are read now are unique.
    pub proves_unique: bool,
}

/// The seals of a snapshot.
#[derive(Debug, Default)]
pub struct VerifiedSeals {
    /// The seals, by path.
    pub all: Vec<VerifiedSeal>,
    /// Names of files that no seal with a time covers.
    pub undated: HashSet<String>,
    /// Number of files that the seals list and that are not part of this snapshot.
    pub left_out: usize,
}

impl VerifiedSeals {
    /// Path and time of each seal that has a time.
    pub fn dated(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.all.iter().filter_map(|seal| Some((seal.path.as_path(), seal.taken_at.as_deref()?)))
    }

    /// Verifies the seal of every folder that has one: the folders that were walked, and the folders of files that the
    /// user named one by one.
    ///
    /// # Errors
    /// A seal that is refused, or a file that differs from it.
    pub fn verify(
        files: &mut [SourceFile],
        walked: BTreeSet<PathBuf>,
        pool: &Pool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let beside = files.iter().filter(|file| file.root.is_none()).map(|file| folder_of(&file.path).to_path_buf());
        let folders: BTreeMap<PathBuf, bool> =
            beside.map(|folder| (folder, false)).chain(walked.into_iter().map(|folder| (folder, true))).collect();
        let (mut verified, mut dated) = (Self::default(), HashSet::new());
        let (count, columns) = (files.len(), device_id_columns(files));
        for (folder, whole) in folders {
            let Some(seal) = Seal::read(&folder)? else { continue };
            let mut inside: Vec<&mut SourceFile> = files
                .iter_mut()
                .filter(|file| if whole { file.path.starts_with(&folder) } else { folder_of(&file.path) == folder })
                .collect();
            inside.iter().try_for_each(|file| file.covered_by_seal_of(&folder))?;
            seal.verify(SealedFolder { path: &folder, whole }, &mut inside, pool, progress)?;
            verified.left_out += seal.files.len() - inside.len();
            if seal.taken_at.is_some() {
                dated.extend(inside.iter().map(|file| file.name.clone()));
            }
            let unique = seal.device_ids == Some(DeviceIds::Unique) && seal.device_id_columns == columns;
            let root = inside.iter().find_map(|file| file.root.as_deref());
            verified.all.push(VerifiedSeal {
                name: name_below(root, &folder),
                path: folder.join(SEAL_FILE),
                schema: seal.schema,
                digest: seal.digest(),
                proves_unique: unique && inside.len() == count,
                taken_at: seal.taken_at,
            });
        }
        verified.undated = files.iter().map(|file| file.name.clone()).filter(|name| !dated.contains(name)).collect();
        Ok(verified)
    }
}

/// The path of a folder's seal below the folder that the user named.
fn name_below(root: Option<&Path>, folder: &Path) -> String {
    let below = root.and_then(|root| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    below.join(SEAL_FILE).to_string_lossy().into_owned()
}
