//! What we write.
mod digest;
pub mod manifest;
mod publish;
pub use publish::Staging;
