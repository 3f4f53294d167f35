//! Key pairs: ed25519 (RFC 8032), the private key as PKCS#8 (RFC 5208) in PEM, which OpenSSL reads and writes, the public
//! key as one word of text.

use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::output::{Existing, OutputFile, write_private};
use crate::system::input;

/// The prefix of a public key's text.
const KIND: &str = "ed25519:";
/// The most bytes of a private key file that are read.
const LONGEST: u64 = 16 * 1024;

/// The public part of a key: `ed25519:` and 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The digits.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(self.0.as_bytes())
    }

    /// Whether `signature`, in hex, is a signature of `message` by this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let bytes = HEXLOWER.decode(signature.as_bytes()).unwrap_or_default();
        Signature::from_slice(&bytes).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", self.hex())
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a public key: `{KIND}` and 64 digits, as `keygen` prints it");
        let digits = text.strip_prefix(KIND).ok_or_else(refuse)?;
        let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| refuse())?;
        let bytes = bytes.try_into().map_err(|_| refuse())?;
        // For a weak key, signatures can be made without the private key.
        VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).map(Self).ok_or_else(refuse)
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A private key. It is wiped from memory when dropped, and never printed.
#[derive(Debug)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// Reads a private key from a file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::Approval`] where other users have permissions on the file, or it has no ed25519 key in PKCS#8.
    pub fn load(path: &Path) -> Result<Self> {
        let refuse = |what: String, remedy: &str| Error::Approval { path: path.into(), what, remedy: remedy.into() };
        let file = input::open(path).map_err(Error::io("open", path))?;
        // The mode of the open file: the file cannot be exchanged between this check and the reading.
        let mode = file.metadata().map_err(Error::io("open", path))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(refuse(
                format!("is a private key that others may use: its mode is {mode:04o}"),
                "chmod 600 it; if others may have read it, make another with `smi-sweep keygen`",
            ));
        }
        let mut text = Zeroizing::new(String::new());
        let no_key = "name the private part of a key that `smi-sweep keygen` made";
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => refuse("is not a private key: it is not text".into(), no_key),
            _ => Error::io("read", path)(error),
        })?;
        SigningKey::from_pkcs8_pem(&text)
            .map(Self)
            .map_err(|error| refuse(format!("is not an ed25519 private key in PKCS#8: {error}"), no_key))
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message; the signature in hex.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        HEXLOWER.encode(&self.0.sign(message).to_bytes())
    }
}

/// A key pair that was made and written.
#[derive(Debug)]
pub struct KeyPair {
    /// The public part.
    pub public: PublicKey,
    /// The file of the private part.
    pub private_path: PathBuf,
    /// The file of the public part: the private part's name and `.pub`.
    pub public_path: PathBuf,
}

impl KeyPair {
    /// Makes a key pair from the system's random numbers, and writes both files, or neither. Existing files are not replaced.
    /// The private key has the mode 0600 from its first byte on.
    ///
    /// # Errors
    /// Where one of the files exists already or cannot be written, or the system gives no random numbers.
    pub fn create(out: &Path) -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| Error::io("find randomness for", out)(error.into()))?;
        let key = PrivateKey(SigningKey::from_bytes(&seed));
        let public = key.public();
        // Without the public key, as in version 1 of PKCS#8, which all implementations read.
        let pem = KeypairBytes { secret_key: *seed, public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| Error::io("write", out)(std::io::Error::other(error.to_string())))?;
        let mut public_path = out.as_os_str().to_owned();
        public_path.push(".pub");
        let public_path = PathBuf::from(public_path);
        write_private(out, pem.as_bytes())?;
        let public_file = OutputFile::atomic(&public_path, Existing::Refuse);
        public_file.and_then(|file| file.finish_with(format!("{public}\n").as_bytes())).inspect_err(|_| {
            // The private key was written a moment ago, and is useless without the public one.
            let _ = fs::remove_file(out);
        })?;
        Ok(Self { public, private_path: out.to_path_buf(), public_path })
    }
}
