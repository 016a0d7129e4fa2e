//! What an import would do, counted without writing: new, duplicate or in conflict, in the file and against the database.
//!
//! Whether an id came earlier in the file is found out in constant memory: 32 bytes a row go to temporary files by the
//! id's hash, and each of those is looked at by itself at the end.

use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    sync::{Mutex, PoisonError},
};

use store::{IngestOutcome, new_event::NewEvent};
use uuid::Uuid;

use crate::{counts::Tally, json_text};

/// Into how many files the rows are divided: a file of 100 million rows then needs about 40 MB at the end.
const PARTS: usize = 128;
const RECORD_BYTES: usize = 32;

/// Rows of a dry run, remembered until all are there.
#[derive(Debug)]
pub(crate) struct DryRun {
    hasher: RandomState,
    parts: Vec<Mutex<BufWriter<File>>>,
}

/// A row as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    event_id: u128,
    content: u64,
    /// Its place among all rows.
    order: u64,
    outcome: Outcome,
}

/// What the database alone says about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    New,
    Duplicate,
    Conflict,
}

impl DryRun {
    /// Prepares the temporary files, which vanish with it.
    pub(crate) fn new() -> io::Result<Self> {
        let mut parts = Vec::with_capacity(PARTS);
        for _ in 0..PARTS {
            parts.push(Mutex::new(BufWriter::new(tempfile::tempfile()?)));
        }
        Ok(Self {
            hasher: RandomState::new(),
            parts,
        })
    }

    /// The mark of an event's content: equal for events that say the same.
    pub(crate) fn content(&self, event: &NewEvent) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        event.user_id().hash(&mut hasher);
        event.event_type().hash(&mut hasher);
        event.occurred_at().timestamp_micros().hash(&mut hasher);
        let mut properties = Vec::with_capacity(128);
        json_text::write_members_canonical(&mut properties, &event.properties());
        properties.hash(&mut hasher);
        hasher.finish()
    }

    /// Remembers a row. `order` rises with the position of rows; `outcome` is what the database says about it.
    pub(crate) fn add(
        &self,
        event_id: Uuid,
        content: u64,
        order: u64,
        outcome: &IngestOutcome,
    ) -> io::Result<()> {
        let outcome = match outcome {
            IngestOutcome::Stored => Outcome::New,
            IngestOutcome::Duplicate(_) => Outcome::Duplicate,
            IngestOutcome::Conflict => Outcome::Conflict,
            // Counted at once.
            IngestOutcome::Refused(_) => return Ok(()),
        };
        let record = Record {
            event_id: event_id.as_u128(),
            content,
            order,
            outcome,
        };
        let part = (self.hasher.hash_one(event_id) % PARTS as u64) as usize;
        let mut writer = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&record.to_bytes())
    }

    /// Counts what would be stored, what is a duplicate and what is in conflict.
    pub(crate) fn finish(&self) -> io::Result<Tally> {
        let mut tally = Tally::default();
        for part in &self.parts {
            let mut writer = part.lock().unwrap_or_else(PoisonError::into_inner);
            writer.flush()?;
            let file = writer.get_mut();
            file.rewind()?;
            count(&mut records(&mut BufReader::new(file))?, &mut tally);
        }
        Ok(tally)
    }
}

fn records(reader: &mut impl Read) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut bytes = [0; RECORD_BYTES];
    loop {
        match reader.read_exact(&mut bytes) {
            Ok(()) => records.push(Record::from_bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(records),
            Err(error) => return Err(error),
        }
    }
}

/// Goes through the rows in order. An id that the database has not is new at its first row; later rows are judged by that
/// one. For an id that it has, the database's own answer holds for every row.
fn count(records: &mut [Record], tally: &mut Tally) {
    records.sort_unstable_by_key(|record| record.order);
    let mut new: HashMap<u128, u64> = HashMap::with_capacity(records.len());
    for record in records {
        let outcome = match (new.get(&record.event_id), record.outcome) {
            (Some(first), _) if *first == record.content => Outcome::Duplicate,
            (Some(_), _) => Outcome::Conflict,
            (None, outcome) => outcome,
        };
        match outcome {
            Outcome::New => {
                new.insert(record.event_id, record.content);
                tally.stored += 1;
            }
            Outcome::Duplicate => tally.duplicates += 1,
            Outcome::Conflict => tally.conflicts += 1,
        }
    }
}

impl Record {
    /// The outcome takes the two highest bits of the order, which no file ever reaches.
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..16].copy_from_slice(&self.event_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.content.to_le_bytes());
        bytes[24..].copy_from_slice(&(self.order | (self.outcome as u64) << 62).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; RECORD_BYTES]) -> Self {
        let number = |start: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[start..start + 8]);
            u64::from_le_bytes(part)
        };
        let event_id = u128::from(number(0)) | u128::from(number(8)) << 64;
        let outcome = match number(24) >> 62 {
            0 => Outcome::New,
            1 => Outcome::Duplicate,
            _ => Outcome::Conflict,
        };
        Self {
            event_id,
            content: number(16),
            order: number(24) & (u64::MAX >> 2),
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Record, Tally, count};

    fn tally(rows: &[(u128, u64, Outcome)]) -> (u64, u64, u64) {
        let mut records: Vec<Record> = rows
            .iter()
            .enumerate()
            .map(|(order, (event_id, content, outcome))| Record {
                event_id: *event_id,
                content: *content,
                order: order as u64,
                outcome: *outcome,
            })
            .rev()
            .map(|record| Record::from_bytes(record.to_bytes()))
            .collect();
        let mut tally = Tally::default();
        count(&mut records, &mut tally);
        (tally.stored, tally.duplicates, tally.conflicts)
    }

    #[test]
    fn the_first_row_of_an_id_decides_about_the_later_ones() {
        use Outcome::{Conflict, Duplicate, New};
        assert_eq!(tally(&[(1, 7, New), (2, 7, New)]), (2, 0, 0));
        assert_eq!(tally(&[(1, 7, New), (1, 7, New), (1, 8, New)]), (1, 1, 1));
        // Within one batch the database has been asked about both rows of an id at once.
        assert_eq!(tally(&[(1, 7, New), (1, 8, New), (1, 8, Duplicate)]), (1, 0, 2));
        assert_eq!(
            tally(&[(1, 7, Duplicate), (1, 8, Conflict), (1, 7, Duplicate)]),
            (0, 2, 1)
        );
    }
}
