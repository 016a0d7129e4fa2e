//! The files of an import, read one after the other into batches.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::Utc;
use store::new_event::NewEvent;

use crate::{
    csv_file::{CsvFile, HeaderError, ReadRow},
    format::{Compression, Format},
    lines::Window,
    mapping::Mapping,
    ndjson_file::NdjsonFile,
    reject::Reject,
    rejects::{Refused, Shape},
    row_parser::RowParser,
    source::Source,
};

/// The most text in one batch: rows may be large, and memory must not follow them.
const BATCH_TEXT_BYTES: usize = 8 << 20;

/// How files are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) mapping: Mapping,
    pub(crate) format: Option<Format>,
    pub(crate) delimiter: u8,
    pub(crate) batch_rows: usize,
    /// Whether batches keep the text of their rows, for the rejects file.
    pub(crate) keep_text: bool,
}

/// What a batch's rows have in common.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The file, as shown to people.
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

/// Rows of one file that are stored in one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) origin: Arc<Origin>,
    pub(crate) events: Vec<NewEvent>,
    /// The line of each event.
    pub(crate) lines: Vec<u64>,
    text: Vec<u8>,
    text_ends: Vec<usize>,
}

impl Batch {
    fn new(origin: Arc<Origin>) -> Self {
        Self {
            origin,
            events: Vec::new(),
            lines: Vec::new(),
            text: Vec::new(),
            text_ends: Vec::new(),
        }
    }

    /// The text of the row of event number `position`; empty where texts are not kept.
    pub(crate) fn text(&self, position: usize) -> &[u8] {
        let Some(end) = self.text_ends.get(position) else {
            return &[];
        };
        let start = if position == 0 {
            0
        } else {
            self.text_ends[position - 1]
        };
        &self.text[start..*end]
    }
}

/// What takes the rows. Answering false ends the reading.
pub(crate) trait Sink {
    /// Takes a batch that is complete.
    fn batch(&mut self, batch: Batch) -> bool;
    /// Takes a row that is refused.
    fn refused(&mut self, row: Refused<'_>) -> bool;
    /// Counts bytes of files, as they lie on disk.
    fn bytes(&self) -> Arc<AtomicU64>;
}

/// Why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// It cannot be opened, or its columns are not those of events.
    #[error("{file}: {problem}")]
    Unfit { file: String, problem: String },
    /// Reading broke off.
    #[error("{file} cannot be read to its end: {problem}, after line {line}, at byte {byte} of the file")]
    BrokenOff {
        file: String,
        problem: String,
        line: u64,
        byte: u64,
    },
}

enum Rows {
    Csv(Box<CsvFile>),
    Ndjson(NdjsonFile),
}

impl Rows {
    fn next(&mut self, parser: RowParser<'_>) -> io::Result<Option<ReadRow<'_>>> {
        match self {
            Self::Csv(file) => file.next(parser),
            Self::Ndjson(file) => file.next(parser),
        }
    }
}

impl Reading {
    /// Looks at the start of every file but standard input, so that nothing is imported where one does not fit.
    pub(crate) fn check(&self, sources: &[Source]) -> Result<(), InputError> {
        for source in sources {
            let Some(path) = source.path() else {
                continue;
            };
            let unfit = |error| InputError::Unfit {
                file: source.name(),
                problem: problem_of(&error),
            };
            // A pipe can be read only once.
            if std::fs::metadata(path).map_err(unfit)?.is_file() {
                self.open(source, Arc::default())?;
            }
        }
        Ok(())
    }

    /// Reads `source` to its end and hands its rows to `sink`. Answers false if the sink wanted no more.
    pub(crate) fn read(&self, source: &Source, sink: &mut impl Sink) -> Result<bool, InputError> {
        let taken = Arc::new(AtomicU64::new(0));
        let Some((mut rows, origin)) = self.open(source, Arc::clone(&taken))? else {
            return Ok(true);
        };
        let (total, mut counted) = (sink.bytes(), 0);
        let mut batch = Batch::new(Arc::clone(&origin));
        let mut last_line = 0;
        let mut now = Utc::now();
        let mut text_bytes = 0;
        loop {
            let row = match rows.next(RowParser {
                mapping: &self.mapping,
                now,
            }) {
                Ok(row) => row,
                Err(error) => {
                    // What was read is whole; it need not be lost.
                    sink.batch(batch);
                    return Err(InputError::BrokenOff {
                        file: origin.name.clone(),
                        problem: problem_of(&error),
                        line: last_line,
                        byte: taken.load(Ordering::Relaxed),
                    });
                }
            };
            let Some(ReadRow { place, text, event }) = row else {
                break;
            };
            last_line = place.line;
            match event {
                Ok(event) => {
                    batch.events.push(event);
                    batch.lines.push(place.line);
                    text_bytes += text.len();
                    if self.keep_text {
                        batch.text.extend_from_slice(text);
                        batch.text_ends.push(batch.text.len());
                    }
                }
                Err(reject) => {
                    if !refuse(sink, &origin, place.line, text, &reject) {
                        return Ok(false);
                    }
                }
            }
            if batch.events.len() >= self.batch_rows || text_bytes >= BATCH_TEXT_BYTES {
                let bytes = taken.load(Ordering::Relaxed);
                total.fetch_add(bytes - std::mem::replace(&mut counted, bytes), Ordering::Relaxed);
                if !sink.batch(std::mem::replace(&mut batch, Batch::new(Arc::clone(&origin)))) {
                    return Ok(false);
                }
                now = Utc::now();
                text_bytes = 0;
            }
        }
        total.fetch_add(taken.load(Ordering::Relaxed) - counted, Ordering::Relaxed);
        Ok(batch.events.is_empty() || sink.batch(batch))
    }

    /// Opens a file and reads its header. None if it is empty.
    fn open(
        &self,
        source: &Source,
        taken: Arc<AtomicU64>,
    ) -> Result<Option<(Rows, Arc<Origin>)>, InputError> {
        let name = source.name();
        let unfit = |problem: String| InputError::Unfit {
            file: name.clone(),
            problem,
        };
        let (text, compression) = source.open(taken).map_err(|error| unfit(problem_of(&error)))?;
        let window = Window::new(text).map_err(|error| unfit(unreadable(&error, compression)))?;
        let format = self
            .format
            .or_else(|| source.path().and_then(Format::of_name))
            .unwrap_or_else(|| Format::of_content(window.text()));
        if format == Format::Ndjson {
            let origin = Arc::new(Origin {
                name: name.clone(),
                shape: Shape::Ndjson,
            });
            return Ok(Some((Rows::Ndjson(NdjsonFile::new(window)), origin)));
        }
        let file = CsvFile::open(window, self.delimiter, &self.mapping).map_err(|error| match error {
            HeaderError::Columns(problem) => unfit(problem),
            HeaderError::Read(error) => unfit(unreadable(&error, compression)),
        })?;
        let Some(file) = file else {
            return Ok(None);
        };
        let layout = file.layout();
        let header = layout.names[layout.leading_rejected()..].to_vec();
        let origin = Arc::new(Origin {
            name: name.clone(),
            shape: Shape::Csv {
                header,
                delimiter: self.delimiter,
            },
        });
        Ok(Some((Rows::Csv(Box::new(file)), origin)))
    }
}

fn refuse(sink: &mut impl Sink, origin: &Origin, line: u64, text: &[u8], reject: &Reject) -> bool {
    sink.refused(Refused {
        file: &origin.name,
        shape: &origin.shape,
        line,
        text,
        reject,
    })
}

/// What went wrong while reading, in words that say what to look at.
fn problem_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "its compressed data end too early (truncated?)".to_owned(),
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    }
}

fn unreadable(error: &io::Error, compression: Compression) -> String {
    match compression {
        Compression::Plain => format!("cannot be read: {}", problem_of(error)),
        Compression::Gzip | Compression::Zstd => {
            format!("cannot be read as {}: {}", compression.name(), problem_of(error))
        }
    }
}
