//! The binary `kohorta`: reads the configuration and runs one command.

use std::process::ExitCode;

use anyhow::Context as _;
use mimalloc::MiMalloc;
use server::config::{Command, Config, Refused};
use server::traces::Traces;
use server::{commands, logging, start};

/// A request makes some two hundred small allocations; see `docs/decisions/0015-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(Refused::Help(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Refused::Wrong(line)) => {
            eprintln!("{line}");
            return ExitCode::from(2);
        }
    };
    run(config).unwrap_or_else(|error| {
        eprintln!("error: {}", logging::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    let (command, common) = config.into_command();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the server")?;
    let traces = {
        let _runtime = runtime.enter();
        command
            .traces()
            .map(|options| Traces::start(&options))
            .transpose()?
    };
    if let Err(error) = logging::initialize(common.log_format, &common.log_filter, traces.as_ref()) {
        eprintln!("error: {error}");
        return Ok(ExitCode::from(2));
    }
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(options) => start::serve(&common, &options).await,
            Command::Migrate { action } => commands::migrate(&common, action).await,
            Command::Schema => commands::schema(),
            Command::Verify => commands::verify(&common).await,
            Command::Export(options) => commands::export::export(&common, &options).await,
            Command::Keys { action } => commands::keys::keys(&common, action).await,
            Command::Rebuild { timezone } => commands::rebuild(&common, timezone).await,
            Command::Backup { file } => commands::back_up(&common, &file).await,
            Command::Expire { before, dry_run } => commands::expire(&common, before, dry_run).await,
            Command::EraseUser { user_id, no_block } => {
                commands::erase_user(&common, user_id, !no_block).await
            }
        }
    });
    if let Some(traces) = traces {
        runtime.block_on(traces.close());
    }
    // Nothing is left to wait for: a second signal must not be held up by a question that still runs.
    runtime.shutdown_background();
    Ok(outcome?)
}
