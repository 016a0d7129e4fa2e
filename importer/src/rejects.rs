//! The rejects file: refused rows with the reason, in a form that can be mended and imported again.
//!
//! It has the format and the columns of the file the rows came from, behind five columns that say where the row stood
//! and what is wrong with it; reading skips those. Rows stand in it as they were, byte for byte. Files of another
//! shape than the first one have a rejects file of their own: `rejects.2.csv`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    columns::REJECTED_COLUMNS, csv_text::write_field, json_text, ndjson_file::REJECTED_TEXT, reject::Reject,
};

/// Format and columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// CSV with this header, the columns of a rejects file left out.
    Csv { header: Vec<String>, delimiter: u8 },
    /// NDJSON
    Ndjson,
}

/// Where a refused row comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'a> {
    pub(crate) file: &'a str,
    pub(crate) shape: &'a Shape,
    pub(crate) line: u64,
    /// The row as it stands in the file.
    pub(crate) text: &'a [u8],
    pub(crate) reject: &'a Reject,
}

/// Writes refused rows.
#[derive(Debug)]
pub(crate) struct RejectsFile {
    path: PathBuf,
    parts: Vec<(Option<Shape>, BufWriter<File>)>,
}

impl RejectsFile {
    /// Makes the file; one that was there is replaced.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let first = BufWriter::new(File::create(path)?);
        Ok(Self {
            path: path.to_owned(),
            parts: vec![(None, first)],
        })
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, refused: Refused<'_>) -> io::Result<()> {
        let mut line = Vec::with_capacity(refused.text.len() + 256);
        let part = self.part(refused.shape, &mut line)?;
        match refused.shape {
            Shape::Csv { delimiter, .. } => write_csv(&mut line, &refused, *delimiter),
            Shape::Ndjson => write_ndjson(&mut line, &refused),
        }
        line.push(b'\n');
        part.write_all(&line)
    }

    /// Writes what is still held back.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.parts.iter_mut().try_for_each(|(_, part)| part.flush())
    }

    /// The part for rows of `shape`. Where it has none yet, its header is put into `line`.
    fn part(&mut self, shape: &Shape, line: &mut Vec<u8>) -> io::Result<&mut BufWriter<File>> {
        let known = self
            .parts
            .iter()
            .position(|(known, _)| known.as_ref() == Some(shape));
        if let Some(position) = known {
            return Ok(&mut self.parts[position].1);
        }
        if let Shape::Csv { header, delimiter } = shape {
            let names = REJECTED_COLUMNS
                .iter()
                .copied()
                .chain(header.iter().map(String::as_str));
            write_values(line, names, *delimiter);
            line.push(b'\n');
        }
        let position = if self.parts[0].0.is_none() {
            0
        } else {
            let file = File::create(self.numbered(self.parts.len() + 1))?;
            self.parts.push((None, BufWriter::new(file)));
            self.parts.len() - 1
        };
        self.parts[position].0 = Some(shape.clone());
        Ok(&mut self.parts[position].1)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        match self.path.extension() {
            Some(extension) => self
                .path
                .with_extension(format!("{number}.{}", extension.display())),
            None => self.path.with_extension(number.to_string()),
        }
    }
}

fn write_values<'a>(line: &mut Vec<u8>, values: impl Iterator<Item = &'a str>, delimiter: u8) {
    for (position, value) in values.enumerate() {
        if position > 0 {
            line.push(delimiter);
        }
        write_field(line, value.as_bytes(), delimiter);
    }
}

fn write_csv(line: &mut Vec<u8>, refused: &Refused<'_>, delimiter: u8) {
    let Reject {
        column,
        value,
        reason,
    } = refused.reject;
    let number = refused.line.to_string();
    write_values(
        line,
        [refused.file, &number, column, value, reason].into_iter(),
        delimiter,
    );
    line.push(delimiter);
    line.extend_from_slice(refused.text);
}

fn write_ndjson(line: &mut Vec<u8>, refused: &Refused<'_>) {
    let Reject {
        column,
        value,
        reason,
    } = refused.reject;
    let number = refused.line.to_string();
    for (position, (name, text)) in REJECTED_COLUMNS
        .iter()
        .zip([refused.file, &number, column, value, reason])
        .enumerate()
    {
        line.push(if position == 0 { b'{' } else { b',' });
        json_text::write_string(line, name.as_bytes());
        line.push(b':');
        json_text::write_string(line, text.as_bytes());
    }
    write_members(line, refused.text);
    line.push(b'}');
}

/// Writes the members of the row behind those that are there, or its text where it is no object.
fn write_members(line: &mut Vec<u8>, text: &[u8]) {
    let Ok(Value::Object(mut members)) = store::json::parse_exact(text) else {
        line.extend_from_slice(b",\"");
        line.extend_from_slice(REJECTED_TEXT.as_bytes());
        line.extend_from_slice(b"\":");
        json_text::write_string(line, text);
        return;
    };
    // What an earlier rejects file said about the row is out of date.
    members.retain(|name, _| !REJECTED_COLUMNS.contains(&name.as_str()));
    let mut rest = Vec::with_capacity(text.len());
    json_text::write_canonical(&mut rest, &Value::Object(members));
    if rest.len() > 2 {
        line.push(b',');
        line.extend_from_slice(&rest[1..rest.len() - 1]);
    }
}
