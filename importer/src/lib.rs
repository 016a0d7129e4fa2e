//! `kohorta-import`: files into a Kohorta database, and the generator of test data.
//!
//! What it promises: a row is stored once however often it is imported, what was committed stays whatever happens, every
//! row that is not stored is counted and can be had back with the reason, and memory does not grow with the files. Rows
//! pass the same validation as events over the API. It talks to a database through the crate `store` alone.
//!
//! A row's way: [`source`] (bytes) → [`lines`] (text) → [`rows`] → [`csv_file`] or [`ndjson_file`] (fields) →
//! [`row_parser`] (a valid event, or why not) → [`input`] (batches) → [`writing`] (the database).

#[cfg(test)]
mod bad_input;
mod columns;
mod counts;
mod csv_file;
mod csv_text;
mod dry_run;
mod event_ids;
mod format;
pub mod generate;
mod import;
mod input;
mod json_text;
mod lines;
mod mapping;
mod ndjson_file;
mod options;
mod patience;
mod progress;
mod reject;
mod reject_log;
mod rejects;
mod row_parser;
mod rows;
mod source;
mod stop;
mod summary;
mod times;
mod writing;

use std::{ffi::OsString, time::Instant};

use clap::Parser;

pub use crate::format::Format;
use crate::{
    generate::{GenerateArguments, GenerateError},
    import::NotStarted,
    options::{Command, ImportArguments, Options},
    patience::sentence,
    progress::{grouped, rate},
};

/// Every row is stored, or was stored before.
pub const EXIT_DONE: i32 = 0;
/// Some rows were rejected.
pub const EXIT_REJECTED: i32 = 1;
/// The arguments, or the files, do not fit; nothing was imported.
pub const EXIT_USAGE: i32 = 2;
/// The import did not come to its end.
pub const EXIT_UNFINISHED: i32 = 3;

/// Does what the command line `arguments` (with the program's name in front) asks for, and answers the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { EXIT_DONE };
        }
    };
    match options.command {
        Some(Command::Generate(arguments)) => run_generate(&arguments),
        None => run_import(options.import),
    }
}

fn run_import(arguments: ImportArguments) -> i32 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(EXIT_UNFINISHED, &format!("no threads can be started: {error}")),
    };
    let (quiet, json) = (arguments.quiet, arguments.json);
    let summary = match runtime.block_on(import::run(arguments)) {
        Ok(summary) => summary,
        Err(NotStarted::Usage(problem)) => return fail(EXIT_USAGE, &problem),
        Err(NotStarted::Database(problem)) => return fail(EXIT_UNFINISHED, &problem),
    };
    // A thread may still wait for standard input; nobody waits for it.
    runtime.shutdown_background();
    if let Some(error) = &summary.error {
        tell(&format!("error: {error}"));
    }
    if !quiet {
        tell(&summary.line());
        if summary.exit_code() == EXIT_UNFINISHED && !summary.dry_run {
            tell("what is stored stays; the same command again completes the import");
        }
    }
    if json {
        print(&serde_json::to_string(&summary).unwrap_or_default());
    }
    summary.exit_code()
}

fn run_generate(arguments: &GenerateArguments) -> i32 {
    let started = Instant::now();
    match generate::generate(arguments) {
        Ok(generated) => {
            tell(&format!(
                "{} rows written, of which {} duplicates and {} bad; {:.1} s, {} rows/s",
                grouped(generated.rows),
                grouped(generated.duplicates),
                grouped(generated.bad),
                started.elapsed().as_secs_f64(),
                grouped(rate(generated.rows, started.elapsed())),
            ));
            EXIT_DONE
        }
        Err(error @ GenerateError::Arguments(_)) => fail(EXIT_USAGE, &sentence(&error)),
        Err(error @ GenerateError::Write { .. }) => fail(EXIT_UNFINISHED, &sentence(&error)),
    }
}

fn fail(code: i32, problem: &str) -> i32 {
    tell(&format!("error: {problem}"));
    code
}

#[expect(clippy::print_stderr, reason = "messages to people are this program's output")]
fn tell(line: &str) {
    eprintln!("{line}");
}

#[expect(
    clippy::print_stdout,
    reason = "the summary for machines goes to standard output"
)]
fn print(line: &str) {
    println!("{line}");
}
