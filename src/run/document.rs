//! `run.json` as a document: how it is read, and the digest of its content.
//!
//! A record is read strictly: a key that occurs twice, or that this version does not know, is refused. Everything in it but
//! `engine` follows from the snapshot, the policy, the moment and the options, and is covered by its `digest`: two runs of
//! the same input have the same digest, whatever the machine and the number of threads.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::record::{RECORD, Record, SCHEMA};
use crate::error::{Error, Result};
use crate::output::{OutputFile, json};
use crate::shown;
use crate::system::input;

/// Characters of a message of the JSON reader that are shown.
const LONGEST: usize = 300;

impl Record {
    /// The digest of the record: BLAKE3, in hex, of its JSON without blanks, with sorted keys, and without the keys `digest`
    /// and `engine`.
    #[must_use]
    pub fn content_digest(&self) -> String {
        // A record has text, lists and finite numbers only, so serializing cannot fail.
        content_digest(&serde_json::to_value(self).unwrap_or_default())
    }

    /// Writes the record into a run directory.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        json::write(OutputFile::create(&folder.join(RECORD))?, self).map(drop)
    }

    /// Reads the record of a run directory.
    ///
    /// # Errors
    /// [`Error::NoRun`] where there is no record; [`Error::Verification`] where this version cannot read it, or its content
    /// is not the one whose digest it has.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD);
        let refuse = |what: String| Error::Verification { path: path.clone(), what };
        match input::read(&path) {
            Ok(bytes) => Self::parse(&bytes).map_err(refuse),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Error::NoRun(folder.to_path_buf()))
            }
            Err(error) => Err(Error::run_file(&path)(error)),
        }
    }

    /// Reads the bytes of a record.
    ///
    /// # Errors
    /// As [`read`](Self::read), in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let no_record = |error: serde_json::Error| {
            format!("is not the record of a run: {}", shown::message(&error.to_string(), LONGEST))
        };
        let StrictValue(document) = serde_json::from_slice(bytes).map_err(no_record)?;
        // The schema is compared first: a later version may differ in any other field.
        if document.get("schema").and_then(Value::as_str) != Some(SCHEMA) {
            let found = document.get("schema").unwrap_or(&Value::Null).to_string();
            return Err(format!("has the schema {}, where \"{SCHEMA}\" is understood", shown::value(&found)));
        }
        let content = content_digest(&document);
        let record: Self = serde_json::from_value(document).map_err(no_record)?;
        match &record.digest {
            Some(digest) if *digest != content => Err("was changed: its digest is not that of its content".into()),
            // A key that is left out, and has a default, is a change too.
            Some(digest) if *digest != record.content_digest() => Err("is not written as records are".into()),
            Some(_) if record.page.is_none() || record.uniqueness.is_none() || record.snapshot.own_moment.is_none() => {
                Err("has a digest, and lacks what came with it".into())
            }
            // Records of earlier versions have none of them.
            None if record.page.is_some() || record.previous.is_some() => Err("lacks its digest".into()),
            _ => Ok(record),
        }
    }
}

fn content_digest(document: &Value) -> String {
    let mut content = document.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("digest");
        fields.remove("engine");
    }
    // `serde_json` keeps objects sorted by key, which makes the text canonical.
    blake3::hash(content.to_string().as_bytes()).to_hex().to_string()
}

/// A JSON value in which no key of an object occurs twice. `serde_json` would take the last one.
struct StrictValue(Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(StrictValue(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, StrictValue(value))) = entries.next_entry::<String, StrictValue>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} occurs twice", shown::quoted(&key))));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}
