//! The importer of a long run: it imports events that are being sent to the servers at the same moment.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::ledger::csv;
use crate::programs::built_from_present_sources;

/// An importer at work.
#[derive(Debug)]
pub struct Import {
    process: Child,
    numbers: Range<u64>,
    /// Where its file lies.
    _folder: TempDir,
}

impl Import {
    /// Starts to import the events with these numbers, with this program if not the one built beside ours.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn start(program: Option<&Path>, database_url: &str, numbers: Range<u64>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = folder.path().join("events.csv");
        std::fs::write(&file, csv(numbers.clone())).map_err(|error| error.to_string())?;
        let program = match program {
            Some(program) => PathBuf::from(program),
            None => built_from_present_sources("kohorta-import")?,
        };
        let process = Command::new("setpriv")
            .arg("--pdeathsig=KILL")
            .arg(program)
            .arg(&file)
            .args(["--database-url", database_url, "--batch-size", "200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run setpriv (util-linux): {error}"))?;
        Ok(Self {
            process,
            numbers,
            _folder: folder,
        })
    }

    /// The numbers of its events once all of them are stored; none while it is at work.
    ///
    /// # Errors
    /// A sentence, if it ended without them.
    pub fn imported(&mut self) -> Result<Option<Range<u64>>, String> {
        match self.process.try_wait().map_err(|error| error.to_string())? {
            None => Ok(None),
            Some(status) if status.success() => Ok(Some(self.numbers.clone())),
            Some(status) => Err(format!("the importer ended with {status}")),
        }
    }

    /// SIGKILL, unless it has come to its end in this moment.
    ///
    /// # Errors
    /// A sentence, if the operating system does not say how it ended.
    pub fn kill(mut self) -> Result<(), String> {
        // One that has ended cannot be killed, which is as well.
        let _ = self.process.kill();
        self.process.wait().map(|_| ()).map_err(|error| error.to_string())
    }
}
