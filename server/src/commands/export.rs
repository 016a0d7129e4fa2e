//! `kohorta export`: stored events into a file or to standard output.
//!
//! A file has its name once it is whole; until then, and for good where something goes wrong, it ends in `.partial`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use activity::calendar::Calendar;
use store::{Export, Store, StoreOptions};

use crate::config::{CommonOptions, ExportOptions};
use crate::export::{Packer, Selection};
use crate::start::StartError;

/// How often progress is told, and how long an export may take without.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// `kohorta export`.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or the file not be written: it has not its name then.
pub async fn export(common: &CommonOptions, options: &ExportOptions) -> Result<ExitCode, StartError> {
    let store = Store::open(StoreOptions::new(common.database_url.as_str())).await?;
    let outcome = export_from(&store, options).await;
    store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn export_from(store: &Store, options: &ExportOptions) -> Result<(), StartError> {
    let selection = Selection {
        from: options.from,
        to: options.to,
        event_types: options.event_types.clone(),
    };
    let question = selection
        .question(Calendar::new(store.timezone()))
        .map_err(StartError::Invalid)?;
    let mut export = store.export(question);
    let packer = Packer::new(options.packing());
    let Some(path) = &options.output else {
        return match write_all(&mut export, packer, &mut io::stdout().lock()).await {
            // A reader that has gone (such as `head`) is no error.
            Err(StartError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        };
    };
    let partial = partial_name(path);
    let written = write_file(&mut export, packer, &partial, path).await;
    if written.is_err() {
        // It is of no use, and its name says so if it cannot be removed.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

async fn write_file(
    export: &mut Export,
    packer: Packer,
    partial: &Path,
    path: &Path,
) -> Result<(), StartError> {
    let failed = |cause| StartError::File {
        path: path.to_owned(),
        cause,
    };
    let mut file = File::create(partial).map_err(failed)?;
    write_all(export, packer, &mut file)
        .await
        .map_err(|error| match error {
            StartError::Output(cause) => failed(cause),
            other => other,
        })?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(partial, path).map_err(failed)
}

/// In the same folder, and of this process alone.
fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

async fn write_all(export: &mut Export, mut packer: Packer, out: &mut impl Write) -> Result<(), StartError> {
    let mut told = Instant::now();
    let mut exported = 0_usize;
    while let Some(events) = export.next().await? {
        let bytes = packer.pack(&events).map_err(StartError::Output)?;
        out.write_all(&bytes).map_err(StartError::Output)?;
        exported += events.len();
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tracing::info!(events = exported, "exporting");
        }
    }
    let bytes = packer.finish().map_err(StartError::Output)?;
    out.write_all(&bytes).map_err(StartError::Output)?;
    out.flush().map_err(StartError::Output)
}
