//! The formats of files, told by name and content.

use std::path::Path;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values with a header line (RFC 4180)
    Csv,
    /// One JSON object a line
    Ndjson,
}

impl Format {
    /// What the name of a file says, whatever it is compressed with.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"))
            .unwrap_or(&name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// What the first bytes of a text say: a line that starts with a brace is an object.
    pub fn of_content(start: &[u8]) -> Self {
        match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::Ndjson,
            _ => Self::Csv,
        }
    }
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    Plain,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

impl Compression {
    /// What the first bytes of a file say.
    pub(crate) fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What the name of a file says.
    pub(crate) fn of_name(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// The name people know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain text",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Format;

    #[test]
    fn names_tell_the_format_through_compression() {
        let format = |name: &str| Format::of_name(Path::new(name));
        assert_eq!(format("a/b.csv"), Some(Format::Csv));
        assert_eq!(format("b.CSV.gz"), Some(Format::Csv));
        assert_eq!(format("b.jsonl.zst"), Some(Format::Ndjson));
        assert_eq!(format("b.gz"), None);
        assert_eq!(format("-"), None);
    }

    #[test]
    fn content_tells_the_format_where_the_name_does_not() {
        assert_eq!(Format::of_content(b" \n{\"event_id\":1}"), Format::Ndjson);
        assert_eq!(Format::of_content(b"event_id,user_id"), Format::Csv);
        assert_eq!(Format::of_content(b""), Format::Csv);
    }
}
