//! A file system that is full as soon as a test wants it to be.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small file system in memory; gone when the value is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of this size.
    ///
    /// # Errors
    /// A sentence that says what is missing on this machine.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("kohorta-disk-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let options = format!("size={mebibytes}m,mode=0777");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output()
            .map_err(|error| format!("cannot run mount: {error}"))?;
        if output.status.success() {
            return Ok(Self { folder });
        }
        Err(format!(
            "cannot mount a small file system, which takes root (in a container: CAP_SYS_ADMIN): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    /// A sentence, if that does not end as it should.
    pub fn fill(&self) -> Result<(), String> {
        let mut file = fs::File::create(self.filler()).map_err(|error| error.to_string())?;
        let mut piece = vec![0; 1 << 20];
        while !piece.is_empty() {
            match file.write_all(&piece) {
                Ok(()) => {}
                // Less and less, to the last page.
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    piece.truncate(if piece.len() > 1024 { piece.len() / 2 } else { 0 });
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// A sentence, if that does not work.
    pub fn clear(&self) -> Result<(), String> {
        fs::remove_file(self.filler()).map_err(|error| error.to_string())
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: who still has a file open on it is being stopped.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
