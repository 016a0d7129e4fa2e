//! Where generated rows go: a file or standard output, compressed as the file's name says.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};

/// How hard to compress: fast, and still a fifth of the size.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// How much is gathered before it is handed on.
const BUFFER_BYTES: usize = 1 << 18;

/// A sink for rows. [`Output::finish`] must be called, or the end is missing.
pub(crate) enum Output {
    /// As it is.
    Plain(BufWriter<Box<dyn Write>>),
    /// gzip; the header names neither time nor system, so that the bytes are the same everywhere.
    Gzip(BufWriter<GzEncoder<Box<dyn Write>>>),
    /// zstd.
    Zstd(BufWriter<zstd::Encoder<'static, Box<dyn Write>>>),
}

impl Output {
    /// Opens `path`, or standard output where there is none or it is `-`. An existing file is replaced.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(Self::Plain(BufWriter::with_capacity(
                BUFFER_BYTES,
                Box::new(io::stdout().lock()),
            )));
        };
        let file: Box<dyn Write> = Box::new(File::create(path)?);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => {
                let encoder = GzBuilder::new().mtime(0).operating_system(255);
                let encoder = encoder.write(file, Compression::new(GZIP_LEVEL));
                Ok(Self::Gzip(BufWriter::with_capacity(BUFFER_BYTES, encoder)))
            }
            Some("zst") => {
                let encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                Ok(Self::Zstd(BufWriter::with_capacity(BUFFER_BYTES, encoder)))
            }
            _ => Ok(Self::Plain(BufWriter::with_capacity(BUFFER_BYTES, file))),
        }
    }

    /// Adds `bytes`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.write_all(bytes),
            Self::Gzip(writer) => writer.write_all(bytes),
            Self::Zstd(writer) => writer.write_all(bytes),
        }
    }

    /// Writes what is still held back.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut writer) => writer.flush(),
            Self::Gzip(writer) => writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .finish()?
                .flush(),
            Self::Zstd(writer) => writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .finish()?
                .flush(),
        }
    }
}
