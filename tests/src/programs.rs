//! Where the programs that tests start come from, and how processes are told to stop.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const ADVICE: &str = "run `cargo build --workspace --bins` first, as scripts/test does";

/// The program `name` of this workspace, built in the same profile as the running one.
///
/// # Errors
/// A sentence that says what to run, if it was not built.
pub fn built(name: &str) -> Result<PathBuf, String> {
    let program = output_directory()?.join(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!("{} is not there: {ADVICE}", program.display()))
}

/// [`built`], and no source that it was made from has changed since.
///
/// # Errors
/// A sentence that says what to run, if it was not built or is older than one of its sources.
pub fn built_from_present_sources(name: &str) -> Result<PathBuf, String> {
    let program = built(name)?;
    let built = program
        .metadata()
        .and_then(|metadata| metadata.modified())
        .map_err(|error| error.to_string())?;
    match newer_source(&program.with_extension("d"), built) {
        Some(source) => Err(format!(
            "{} is older than {}: {ADVICE}",
            program.display(),
            source.display()
        )),
        None => Ok(program),
    }
}

/// The folder that Cargo puts programs into: `target/debug`, or what this program was built in.
///
/// # Errors
/// A sentence, if the running program does not know its own path.
pub fn output_directory() -> Result<PathBuf, String> {
    let executable = std::env::current_exe().map_err(|error| format!("own path unknown: {error}"))?;
    let mut directory = executable.parent().unwrap_or(Path::new(".")).to_path_buf();
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.pop();
    }
    Ok(directory)
}

/// The first source that changed after `built`, according to Cargo's list of what the program was made from.
fn newer_source(list: &Path, built: SystemTime) -> Option<PathBuf> {
    let text = std::fs::read_to_string(list).ok()?;
    let (_, sources) = text.split_once(": ")?;
    let changed_later = |path: &PathBuf| {
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file);
        metadata
            .and_then(|metadata| metadata.modified().ok())
            .is_some_and(|changed| changed > built)
    };
    sources
        .lines()
        .next()?
        .split(' ')
        .map(PathBuf::from)
        .find(changed_later)
}

/// The processes that a process has started and that are still there.
pub fn children(process_id: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|number| {
            let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            // What follows the name, which may hold anything: the state and the parent.
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1));
            parent.and_then(|parent| parent.parse().ok()) == Some(process_id)
        })
        .collect()
}

/// Sends the signal `name` ("TERM", "KILL") to one process. A process that is gone already is no error.
pub fn signal(process_id: u32, name: &str) {
    let command = format!("kill -s {name} {process_id} 2>/dev/null || true");
    let status = Command::new("sh").args(["-c", &command]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot run the shell to signal process {process_id}"
    );
}
