//! The document: what it states, and how it is read and written.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::SEAL_FILE;
use super::blocks::BlockDigests;
use crate::error::{Error, Fault, Place, Result};
use crate::output::{Existing, OutputFile, json};
use crate::system::input;

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealSchema {
    /// Digests of files only: the seal itself can be edited without notice.
    #[serde(rename = "smi-sweep/snapshot/1")]
    V1,
    /// With a digest of the seal itself, and whether Device IDs are unique.
    #[serde(rename = "smi-sweep/snapshot/2")]
    V2,
}

/// The result of a search for Device IDs that occur more than once. Equal are IDs of one canonical form; null and
/// malformed IDs are not compared, because no row that has one is ever deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceIds {
    /// No two rows of the snapshot have the same Device ID.
    Unique,
    /// Some rows share a Device ID.
    Duplicated,
}

/// The content of a seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The version of the format.
    pub schema: SealSchema,
    /// When the snapshot was taken, in RFC 3339; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// Whether Device IDs are unique; `None` in schema 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_ids: Option<DeviceIds>,
    /// The names, in the files, of the columns that were read as Device IDs, ascending. `device_ids` is a statement
    /// about them: a policy can map other columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_id_columns: Vec<String>,
    /// The files. No path occurs twice.
    pub files: Vec<SealedFile>,
    /// BLAKE3, in hex, of the rest of the document as JSON without white space, keys in this order; `None` in schema 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
}

/// The entry of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    /// Path below the folder.
    pub path: String,
    /// Its number of rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest, in hex.
    pub blake3: String,
    /// The digests of its blocks, one after the other, in Base64; empty for a file of one block and in schema 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    blocks: String,
}

impl SealedFile {
    /// The digests of the file: of the whole, and of its blocks.
    ///
    /// # Errors
    /// What is wrong: digests that cannot be read, or that contradict each other.
    pub fn digests(&self) -> Result<BlockDigests, String> {
        let wrong = |what: &str| format!("{what} of {} are not those of a file", self.path);
        let file = blake3::Hash::from_hex(&self.blake3).map_err(|_| wrong("the digits of the digest"))?;
        let blocks = BASE64.decode(self.blocks.as_bytes()).map_err(|_| wrong("the digests of the blocks"))?;
        let (blocks, rest) = blocks.as_chunks();
        if !rest.is_empty() {
            return Err(wrong("the digests of the blocks"));
        }
        let bytes = usize::try_from(self.bytes).map_err(|_| wrong("the bytes"))?;
        BlockDigests::new(file, bytes, blocks.to_vec()).map_err(wrong)
    }
}

/// The entry of a file with these digests.
impl From<(&str, u64, &BlockDigests)> for SealedFile {
    fn from((path, rows, digests): (&str, u64, &BlockDigests)) -> Self {
        Self {
            path: path.to_owned(),
            rows,
            bytes: digests.bytes() as u64,
            blake3: digests.file().to_hex().to_string(),
            blocks: BASE64.encode(digests.blocks().as_flattened()),
        }
    }
}

/// The schema alone, to be read before the fields that depend on it.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: String,
}

impl Seal {
    /// A seal of these files in the current schema.
    #[must_use]
    pub const fn new(files: Vec<SealedFile>) -> Self {
        Self {
            schema: SealSchema::V2,
            taken_at: None,
            device_ids: None,
            device_id_columns: Vec::new(),
            files,
            blake3: None,
        }
    }

    /// Reads the seal of a folder; `None` if it has none.
    ///
    /// # Errors
    /// A seal that cannot be read or parsed, has another schema or an unknown key, differs from its own digest, or
    /// lists a path twice.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(SEAL_FILE);
        let text = match input::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
                return Err(Place::file(&path).refuse(Fault::BadSeal("it is not text".into())));
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        Self::parse(&text).map(Some).map_err(|what| Place::file(&path).refuse(Fault::BadSeal(what)))
    }

    /// Reads the text of a seal. The error is the reason why it is refused.
    fn parse(text: &str) -> Result<Self, String> {
        let SchemaOnly { schema } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if serde_json::from_value::<SealSchema>(schema.as_str().into()).is_err() {
            return Err(format!("its schema is `{schema}`, not `smi-sweep/snapshot/2` or `smi-sweep/snapshot/1`"));
        }
        let seal: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let digested = seal.blake3.is_some();
        match seal.schema {
            SealSchema::V1 if seal.files.iter().any(|file| !file.blocks.is_empty()) => {
                return Err("it has keys that its schema lacks".into());
            }
            SealSchema::V1 if digested || seal.device_ids.is_some() || !seal.device_id_columns.is_empty() => {
                return Err("it has keys that its schema lacks".into());
            }
            SealSchema::V2 if !digested => return Err("it has no digest of itself (`blake3`)".into()),
            SealSchema::V2 if seal.blake3.as_ref() != Some(&seal.digest()) => {
                return Err("it differs from its own digest: it was changed after the snapshot was sealed".into());
            }
            _ => {}
        }
        let mut names = HashSet::new();
        if let Some(twice) = seal.files.iter().find(|file| !names.insert(&file.path)) {
            return Err(format!("it names {} twice", twice.path));
        }
        Ok(seal)
    }

    /// BLAKE3, in hex, of everything that the seal states. In schema 2 the seal contains it.
    #[must_use]
    pub fn digest(&self) -> String {
        let stated = Self { blake3: None, ..self.clone() };
        // A document of text, numbers and lists always has a form in JSON.
        blake3::hash(&serde_json::to_vec(&stated).unwrap_or_default()).to_hex().to_string()
    }

    /// The seal with its own digest.
    #[must_use]
    pub fn digested(self) -> Self {
        let blake3 = (self.schema == SealSchema::V2).then(|| self.digest());
        Self { blake3, ..self }
    }

    /// Writes the seal, with its own digest, into its folder atomically.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(self, folder: &Path) -> Result<()> {
        let file = OutputFile::atomic(&folder.join(SEAL_FILE), Existing::Replace)?;
        json::write(file, &self.digested()).map(drop)
    }
}
