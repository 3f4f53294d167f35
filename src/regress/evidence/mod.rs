//! Evidence of a regression run: a JUnit report for build servers, and a page that a test manager signs.

mod document;
mod junit;
mod page;
mod record;

pub use document::EvidenceDocument;
pub use junit::junit;
pub use page::page;
pub use record::Evidence;
