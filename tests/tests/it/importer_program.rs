//! Runs `kohorta-import` as users do, and says what it answered.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::programs::built_from_present_sources;

/// The header of a file with every column.
pub(crate) const HEADER: &str = "event_id,user_id,event_type,occurred_at,properties\n";

/// A folder with files for the importer, and a database address.
pub(crate) struct Importing {
    folder: TempDir,
    pub(crate) database_url: String,
}

/// What the importer answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Importing {
    /// Into an SQLite file that is not there yet.
    pub(crate) fn into_new_file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let database_url = format!("sqlite://{}", folder.path().join("data/kohorta.db").display());
        Self { folder, database_url }
    }

    /// Into this database.
    pub(crate) fn into_database(database_url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            folder,
            database_url: database_url.to_owned(),
        }
    }

    /// The path of the file `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("files can be written");
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file is there")
    }

    /// Reads a text file.
    pub(crate) fn read_text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("the file is UTF-8")
    }

    /// The command, run in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &self.database_url, arguments)
    }

    /// Runs the importer in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        Answer::of(output.expect("the importer runs"))
    }

    /// Runs the importer with `input` on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Answer {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the importer runs");
        let mut pipe = process.stdin.take().expect("standard input is a pipe");
        pipe.write_all(input).expect("the importer reads its input");
        drop(pipe);
        Answer::of(process.wait_with_output().expect("the importer ends"))
    }

    /// Imports `arguments` with `--json` and answers code and summary.
    pub(crate) fn summary(&self, arguments: &[&str]) -> (i32, Value) {
        let answer = self.run(&[&["--json", "--quiet"], arguments].concat());
        let summary = serde_json::from_str(&answer.output);
        (
            answer.code,
            summary.unwrap_or_else(|error| panic!("{error}: {answer:?}")),
        )
    }

    /// Imports `arguments` and checks code, stored, duplicates, conflicts, rejected.
    pub(crate) fn check(&self, arguments: &[&str], code: i32, counts: [u64; 4]) {
        let (found_code, summary) = self.summary(arguments);
        let names = ["stored", "duplicates", "conflicts", "rejected"];
        let found = names.map(|name| summary[name].as_u64().unwrap_or(u64::MAX));
        assert_eq!((found_code, found), (code, counts), "{arguments:?}: {summary}");
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the importer writes UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}

fn command(folder: &Path, database_url: &str, arguments: &[&str]) -> Command {
    let program =
        built_from_present_sources("kohorta-import").unwrap_or_else(|complaint| panic!("{complaint}"));
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .args(arguments);
    command
}

/// An event id that differs for each number.
pub(crate) fn event_id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A valid row with the event id of `number`.
pub(crate) fn row(number: u32) -> String {
    format!(
        "{},ana,open,2026-03-01T08:30:00Z,\"{{\"\"n\"\":{number}}}\"\n",
        event_id(number)
    )
}

/// A file of these rows.
pub(crate) fn file(numbers: impl Iterator<Item = u32>) -> String {
    HEADER.to_owned() + &numbers.map(row).collect::<String>()
}
