//! One PostgreSQL cluster for all the processes of a test run.
//!
//! `cargo nextest` runs each test in a process of its own, so the cluster belongs to none of them: the program
//! `postgres-keeper` owns it. Four lock files beside the built programs say who is there. Locks are the operating
//! system's, so a killed process releases its own:
//!
//! - `starting` is held while somebody looks for the keeper or starts one, `templates` while somebody makes one;
//! - `alive` is held by the keeper;
//! - `users` is shared by every process that uses the cluster; when nobody has held it for [`IDLE`] checks in a
//!   row, the keeper takes it, stops the cluster and goes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::{Cluster, Durability};
use crate::programs::{built, output_directory};

/// How many checks in a row must find no user before the cluster goes: runs of tests follow each other.
const IDLE: u32 = 6;
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// The cluster of this run, as one process sees it.
#[derive(Debug)]
pub struct SharedCluster {
    port: u16,
    /// Held as long as this process lives.
    _users: File,
}

impl SharedCluster {
    /// Joins the run's cluster, starting it if this is the first process to ask.
    ///
    /// # Panics
    /// Where PostgreSQL is missing or does not start: such a test has failed, it is not skipped.
    pub fn join() -> &'static Self {
        static CLUSTER: OnceLock<SharedCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| match join() {
            Ok(cluster) => cluster,
            Err(complaint) => panic!("this test needs PostgreSQL: {complaint}"),
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of one database in the cluster.
    pub fn url(&self, database: &str) -> String {
        Cluster::url(self.port, database)
    }

    /// Waits until no other process of the run makes templates, and keeps the others waiting until the file is dropped.
    ///
    /// # Panics
    /// If the lock file cannot be used.
    pub fn lock_templates(&self) -> File {
        let file = output_directory().and_then(|directory| open(&directory, "templates"));
        let file = file.expect("lock files can be made beside the built programs");
        file.lock().expect("lock files can be locked");
        file
    }
}

fn join() -> Result<SharedCluster, String> {
    let directory = output_directory()?;
    let users = open(&directory, "users")?;
    users.lock_shared().map_err(|error| error.to_string())?;
    let starting = open(&directory, "starting")?;
    starting.lock().map_err(|error| error.to_string())?;
    let alive = open(&directory, "alive")?;
    if alive.try_lock().is_ok() {
        alive.unlock().map_err(|error| error.to_string())?;
        start_keeper(&directory)?;
    }
    let port = std::fs::read_to_string(path(&directory, "port")).map_err(|error| error.to_string())?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    Ok(SharedCluster { port, _users: users })
}

fn start_keeper(directory: &Path) -> Result<(), String> {
    let mut keeper = Command::new(built("postgres-keeper")?)
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run postgres-keeper: {error}"))?;
    let mut answer = String::new();
    if let Some(output) = keeper.stdout.take() {
        BufReader::new(output)
            .read_line(&mut answer)
            .map_err(|error| error.to_string())?;
    }
    match answer.trim_end() {
        "ready" => Ok(()),
        complaint => Err(format!("postgres-keeper says: {complaint}")),
    }
}

/// What `postgres-keeper` does: starts a cluster, says "ready" (or what is wrong) in one line, and keeps the cluster
/// until nobody uses it any more.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn keep(directory: &Path) -> Result<(), String> {
    let alive = open(directory, "alive")?;
    if alive.try_lock().is_err() {
        return Err("another keeper is at work".to_owned());
    }
    remove_leftover(directory);
    let cluster = Cluster::start(Durability::Fast)?;
    let folder = cluster.directory().to_string_lossy().into_owned();
    write(directory, "folder", &folder)?;
    write(directory, "port", &cluster.port().to_string())?;
    let mut output = std::io::stdout();
    let said = writeln!(output, "ready").and_then(|()| output.flush());
    said.map_err(|error| error.to_string())?;
    let users = open(directory, "users")?;
    let mut idle = 0;
    while idle < IDLE {
        std::thread::sleep(CHECK_EVERY);
        idle = if users.try_lock().is_ok() { idle + 1 } else { 0 };
        if (1..IDLE).contains(&idle) {
            users.unlock().map_err(|error| error.to_string())?;
        }
    }
    // Whoever comes now waits for `users` until this process has gone, and then starts a new keeper.
    drop(cluster);
    drop(alive);
    Ok(())
}

/// Removes what a keeper that was killed has left.
fn remove_leftover(directory: &Path) {
    let Ok(folder) = std::fs::read_to_string(path(directory, "folder")) else {
        return;
    };
    let ours = Path::new(&folder).starts_with(std::env::temp_dir()) && folder.contains("kohorta-postgres-");
    if ours {
        // A folder that is gone already is the usual case.
        let _ = std::fs::remove_dir_all(&folder);
    }
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join("test-postgres").join(name)
}

fn open(directory: &Path, name: &str) -> Result<File, String> {
    let path = path(directory, name);
    std::fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(|error| error.to_string())?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    file.map_err(|error| format!("cannot open {}: {error}", path.display()))
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::write(path(directory, name), text).map_err(|error| error.to_string())
}
