//! The text of a log file: as it is, or out of gzip. Other forms are named, since none of their lines would be found.

use std::io::{self, BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;

/// What else a log is packed in or written as, by its first bytes.
const NOT_READ: [(&[u8], &str); 6] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd: unpack it first (zstd -dc)"),
    (b"\xfd7zXZ", "xz: unpack it first (xz -dc)"),
    (b"BZh", "bzip2: unpack it first (bzip2 -dc)"),
    (b"PK\x03\x04", "zip: unpack it first (unzip -p)"),
    (&[0xff, 0xfe], "UTF-16, as PowerShell writes what it redirects: write it again as UTF-8"),
    (&[0xfe, 0xff], "UTF-16: write it again as UTF-8"),
];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Unpacks gzip (all members of it, as exports to S3 and rotated files have them) and passes anything else on. Fails for what
/// is packed otherwise; and for gzip that is to be followed, since it cannot grow.
pub(super) fn unpacked<'r>(mut reader: impl BufRead + 'r, is_followed: bool) -> io::Result<Box<dyn BufRead + 'r>> {
    let first = reader.fill_buf()?;
    let fault = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    if let Some((_, form)) = NOT_READ.into_iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(fault(format!("this is {form}")));
    }
    match first.starts_with(GZIP) {
        false => Ok(Box::new(reader)),
        true if is_followed => Err(fault("this is gzip, which does not grow: leave --follow out".to_owned())),
        true => Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader)))),
    }
}
