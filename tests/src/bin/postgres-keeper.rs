//! Keeps the PostgreSQL cluster of a test run; see `tests::shared_cluster`. Tests start it, nobody else needs to.

use std::path::PathBuf;
use std::process::ExitCode;

use tests::shared_cluster::keep;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("the folder of the built programs is missing: tests start this program themselves");
        return ExitCode::from(2);
    };
    match keep(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            println!("{}", complaint.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
