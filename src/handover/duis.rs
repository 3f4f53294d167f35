//! The alerts as DUIS sends them: one `Response` document for each device, in a file for each Notifying Party.
//!
//! A document has no element for its recipient, so the file name has it. A file has one document on each line, each with its
//! own XML declaration, so that lines can be validated, signed and sent one by one. Values that the schema leaves open
//! (response code, time) are in the [`DuisHeader`].

use std::io::{self, Write as _};
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::export_file::{ExportFile, ExportedFile};
use super::source::ExportSource;
use crate::error::{Error, Result};
use crate::estate::time;
use crate::run::read::{Alerts, Manifest};

/// The namespace of DUIS.
const NAMESPACE: &str = "http://www.dccinterface.co.uk/ServiceUserGateway";
/// The version of its schema.
const VERSION: &str = "5.4";
/// Response codes of the schema that are no failure.
const RESPONSE_CODES: [&str; 2] = ["I0", "I99"];
/// The ending of files.
const ENDING: &str = "xmll";

/// Bytes of a party's name that are percent-encoded in the file's name: all that could hide a file, leave its folder, or has
/// a meaning in a shell.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// What all alerts of an export have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuisHeader {
    /// `ResponseCode`. Its default `I0`, the code of success, is an assumption; `--response-code` gives another.
    pub response_code: String,
    /// `ResponseDateTime`, in UTC microseconds since 1970; `None`: the as-of moment of the run.
    pub response_time: Option<i64>,
}

/// Writes a file for each party.
pub(super) fn write(source: &ExportSource<'_>, header: &DuisHeader, folder: &Path) -> Result<Vec<ExportedFile>> {
    let head = Head::of(source, header)?;
    let mut files = Vec::new();
    let mut current: Option<ExportFile> = None;
    let mut text = Vec::new();
    // Alerts are sorted by party, so that only one file is open at a time.
    source.each::<Alerts>(|batch| {
        let mut row = 0;
        while row < batch.len() {
            let party = batch.party.value(row);
            let end = (row..batch.len()).find(|&other| batch.party.value(other) != party).unwrap_or(batch.len());
            if current.as_ref().and_then(ExportFile::party) != Some(party) {
                files.extend(current.take().map(ExportFile::finish).transpose()?);
                let name = format!("{}.{ENDING}", utf8_percent_encode(party, ESCAPED));
                current = Some(ExportFile::create(folder, &name, Some(party.into()))?);
            }
            text.clear();
            for alert in row..end {
                head.document(batch.code.value(alert), batch.id.value(alert), &mut text)
                    .map_err(Error::io("write", folder))?;
            }
            if let Some(file) = &mut current {
                file.write(&text, end - row)?;
            }
            row = end;
        }
        Ok(())
    })?;
    files.extend(current.map(ExportFile::finish).transpose()?);
    Ok(files)
}

/// The header of every document.
struct Head {
    code: String,
    time: String,
}

impl Head {
    fn of(source: &ExportSource<'_>, header: &DuisHeader) -> Result<Self> {
        let refuse = |what: String, remedy: &str| Error::Usage { what, remedy: remedy.into() };
        let code = &header.response_code;
        if !RESPONSE_CODES.contains(&code.as_str()) {
            let what = format!("`{code}` is not a response code that an alert can have");
            return Err(refuse(what, &format!("write {}", RESPONSE_CODES.join(" or "))));
        }
        let alert = source.record.policy["alerts"]["code"].as_str().unwrap_or_default();
        if !is_alert_code(alert) {
            let what = format!("the alerts of this run have the code `{alert}`, which no DCC Alert has");
            return Err(refuse(what, "set `code` under [alerts] of the policy, such as N8, and sweep again"));
        }
        let micros = header.response_time.or_else(|| time::parse(&source.record.as_of));
        let time = micros.and_then(milliseconds).ok_or_else(|| {
            refuse(format!("{} is not a time that a document can have", source.record.as_of), "give --response-time T")
        })?;
        Ok(Self { code: code.clone(), time })
    }

    /// Writes one document, and the end of its line.
    fn document(&self, alert_code: &str, device_id: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let mut xml = Writer::new(&mut *out);
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let response = xml.create_element("Response");
        response.with_attributes([("xmlns", NAMESPACE), ("schemaVersion", VERSION)]).write_inner_content(|xml| {
            nested(xml, &["Header"], |xml| {
                text_element(xml, "ResponseCode", &self.code)?;
                text_element(xml, "ResponseDateTime", &self.time)
            })?;
            nested(xml, &["Body", "DCCAlertMessage"], |xml| {
                text_element(xml, "DCCAlertCode", alert_code)?;
                nested(xml, &["DCCAlert", "DeviceStatusChangeEvent"], |xml| {
                    text_element(xml, "DeviceID", device_id)?;
                    nested(xml, &["DeviceStatusChange"], |xml| {
                        xml.create_element("DeviceRemovedFromInventory").write_empty().map(drop)
                    })
                })
            })
        })?;
        out.write_all(b"\n")
    }
}

type XmlWriter<'a> = Writer<&'a mut Vec<u8>>;

/// Writes elements inside each other, outermost first, and `content` inside the innermost.
fn nested(
    xml: &mut XmlWriter<'_>,
    names: &[&str],
    content: impl FnOnce(&mut XmlWriter<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for name in names {
        xml.write_event(Event::Start(BytesStart::new(*name)))?;
    }
    content(xml)?;
    for name in names.iter().rev() {
        xml.write_event(Event::End(BytesEnd::new(*name)))?;
    }
    Ok(())
}

fn text_element(xml: &mut XmlWriter<'_>, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}

/// Whether the schema has such a DCC Alert: AD1, N1 to N65 without N32, and N999.
fn is_alert_code(code: &str) -> bool {
    let number = code.strip_prefix('N').and_then(|digits| digits.parse::<u16>().ok());
    let known = number.is_some_and(|number| matches!(number, 1..=31 | 33..=65 | 999) && code == format!("N{number}"));
    known || code == "AD1"
}

/// An instant in UTC, to the millisecond, as DUIS writes it: `2026-11-01T00:00:00.000Z`.
fn milliseconds(micros: i64) -> Option<String> {
    let text = time::format_instant(micros.checked_sub(micros.rem_euclid(1000))?);
    let (seconds, decimals) = text.strip_suffix('Z').map(|text| text.split_once('.').unwrap_or((text, "")))?;
    Some(format!("{seconds}.{decimals:0<3}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        for (time, written) in [
            ("2026-11-01", "2026-11-01T00:00:00.000Z"),
            ("2026-11-01T06:30:00.0499999Z", "2026-11-01T06:30:00.049Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(milliseconds(time::parse(time).unwrap()).as_deref(), Some(written));
        }
        assert_eq!(milliseconds(i64::MIN), None);
    }

    #[test]
    fn codes_are_those_of_the_schema() {
        assert!(["N8", "N31", "N33", "N65", "N999", "AD1"].into_iter().all(is_alert_code));
        for wrong in ["", "N", "N0", "N08", "N+8", "N32", "N66", "n8", "N8 ", "AD2", "X1"] {
            assert!(!is_alert_code(wrong), "{wrong}");
        }
    }
}
