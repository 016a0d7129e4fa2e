//! Where text comes from: a file or standard input, plain, gzip or zstd.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;

use crate::format::Compression;

/// How much is read from a file at once.
const READ_BYTES: usize = 1 << 18;

/// A file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file by its path.
    File(PathBuf),
    /// Standard input, which can be read only once.
    StandardInput,
}

impl Source {
    /// What an argument names: `-` is standard input.
    pub(crate) fn of_argument(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::StandardInput
        } else {
            Self::File(path.to_owned())
        }
    }

    /// The name shown to people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
        }
    }

    /// The path, where there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::StandardInput => None,
        }
    }

    /// Bytes on disk, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        let metadata = std::fs::metadata(self.path()?).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Opens it. The text comes uncompressed; `taken` counts the bytes as they lie on disk.
    pub(crate) fn open(&self, taken: Arc<AtomicU64>) -> io::Result<(Box<dyn Read + Send>, Compression)> {
        let raw: Box<dyn Read + Send> = match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::StandardInput => Box::new(io::stdin()),
        };
        let mut raw = BufReader::with_capacity(READ_BYTES, Counted { raw, taken });
        let start = first_bytes(&mut raw)?;
        let compression = Compression::of_content(&start);
        let named = self.path().map_or(Compression::Plain, Compression::of_name);
        if compression == Compression::Plain && named != Compression::Plain && !start.is_empty() {
            let message = format!("the name says {0}, but the content is not {0}", named.name());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let raw = io::Cursor::new(start).chain(raw);
        let text: Box<dyn Read + Send> = match compression {
            Compression::Plain => Box::new(raw),
            Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(raw)?),
        };
        Ok((text, compression))
    }
}

/// The first bytes, enough to tell the compression by; fewer only where the input is shorter.
fn first_bytes(raw: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(4);
    raw.take(4).read_to_end(&mut start)?;
    Ok(start)
}

struct Counted {
    raw: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
