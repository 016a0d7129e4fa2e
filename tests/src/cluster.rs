//! A throw-away PostgreSQL cluster: made by `initdb` in a temporary folder, reachable from this machine only, gone
//! when the value is dropped.
//!
//! PostgreSQL refuses to run as root, so root starts it as the user `postgres` that Debian's package makes. The
//! server dies with the thread that started it, however that one ends, so nothing is left behind.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{children, signal};

const INSTALL: &str = "install it, on Debian with `apt-get install postgresql`";
/// Another program may take a free port between our look and PostgreSQL's start; then another one is tried.
const ATTEMPTS: u32 = 5;

/// What a cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Commits reach the disk, as in production.
    Durable,
    /// Nothing waits for the disk: for tests that never cut the power.
    Fast,
}

/// A running PostgreSQL server with its own data.
#[derive(Debug)]
pub struct Cluster {
    server: Child,
    port: u16,
    directory: TempDir,
    settings: Settings,
    frozen: bool,
}

/// How a server is run.
#[derive(Debug, Clone)]
struct Settings {
    durability: Durability,
    connections: u32,
}

impl Cluster {
    /// Makes a cluster and returns once it takes connections.
    ///
    /// # Errors
    /// A sentence that says what is missing on this machine or what PostgreSQL complained about.
    pub fn start(durability: Durability) -> Result<Self, String> {
        Self::start_for(durability, 300)
    }

    /// [`Cluster::start`] with room for this many connections.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_for(durability: Durability, connections: u32) -> Result<Self, String> {
        let settings = Settings {
            durability,
            connections,
        };
        let account = Account::of_server()?;
        let programs = program_directory()?;
        let directory = tempfile::Builder::new()
            .prefix("kohorta-postgres-")
            .tempdir()
            .map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        account.give(directory.path())?;
        account.initialise(&programs, directory.path())?;
        let mut complaint = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            match account.serve(&programs, directory.path(), port, &settings) {
                Ok(server) => {
                    return Ok(Self {
                        server,
                        port,
                        directory,
                        settings,
                        frozen: false,
                    });
                }
                Err(error) => complaint = error,
            }
        }
        Err(format!("PostgreSQL does not start: {complaint}"))
    }

    /// Stops the server at once, as a crash would: nobody is asked, nothing is written, connections break.
    pub fn stop_at_once(&mut self) {
        // Who stands still hears no signal.
        self.thaw();
        if self.server.try_wait().is_ok_and(|status| status.is_none()) {
            signal(self.server.id(), "QUIT");
        }
        // A failure here means that the server is gone already.
        let _ = self.server.wait();
    }

    /// Starts the stopped server again, on the same port; it recovers from its log first.
    ///
    /// # Errors
    /// What PostgreSQL complained about.
    pub fn start_again(&mut self) -> Result<(), String> {
        let account = Account::of_server()?;
        self.server = account.serve(
            &program_directory()?,
            self.directory.path(),
            self.port,
            &self.settings,
        )?;
        Ok(())
    }

    /// Lets all of its processes stand still: connections stay open, the system takes new ones, and nobody answers.
    pub fn freeze(&mut self) {
        self.frozen = true;
        // The first one starts no others any more.
        signal(self.server.id(), "STOP");
        for process in children(self.server.id()) {
            signal(process, "STOP");
        }
    }

    /// Lets them go on, if they stand still.
    pub fn thaw(&mut self) {
        if !std::mem::take(&mut self.frozen) {
            return;
        }
        for process in children(self.server.id()) {
            signal(process, "CONT");
        }
        signal(self.server.id(), "CONT");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives a folder to the user that the server runs as.
    ///
    /// # Errors
    /// A sentence, if that is not allowed.
    pub fn give(&self, folder: &Path) -> Result<(), String> {
        Account::of_server()?.give(folder)
    }

    /// Where the data lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The address of one database in a cluster on `port`, for the superuser.
    pub fn url(port: u16, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

/// The user that the server runs as.
struct Account {
    /// User and group of `postgres`, where we are root.
    postgres: Option<(u32, u32)>,
}

impl Account {
    fn of_server() -> Result<Self, String> {
        let probe = tempfile::tempfile().and_then(|file| file.metadata());
        let own = probe
            .map_err(|error| format!("cannot make a temporary file: {error}"))?
            .uid();
        if own != 0 {
            return Ok(Self { postgres: None });
        }
        let number = |option| {
            let output = Command::new("id").args([option, "postgres"]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
        };
        match (number("-u"), number("-g")) {
            (Some(user), Some(group)) => Ok(Self {
                postgres: Some((user, group)),
            }),
            _ => Err(format!(
                "PostgreSQL cannot run as root and there is no user postgres: {INSTALL}"
            )),
        }
    }

    fn give(&self, directory: &Path) -> Result<(), String> {
        let Some((user, group)) = self.postgres else {
            return Ok(());
        };
        chown(directory, Some(user), Some(group))
            .map_err(|error| format!("cannot give {} to postgres: {error}", directory.display()))
    }

    /// A command that runs `program` as the server's user and ends with the calling thread.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if let Some((user, group)) = self.postgres {
            command.args([
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
            ]);
        }
        command
            .arg("--pdeathsig=QUIT")
            .arg(program)
            .env("LC_ALL", "C")
            .current_dir("/");
        command
    }

    fn initialise(&self, programs: &Path, directory: &Path) -> Result<(), String> {
        // A language's order instead of the order of bytes, so that a forgotten COLLATE shows. Needs version 15.
        let language_order: &[&str] = &["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"];
        let mut complaint = String::new();
        for locale in [language_order, &["--locale=C"]] {
            let output = self
                .command(&programs.join("initdb"))
                .args([
                    "--username=postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-sync",
                ])
                .args(locale)
                .arg("--pgdata")
                .arg(directory.join("data"))
                .output()
                .map_err(|error| format!("cannot run setpriv (package util-linux): {error}"))?;
            if output.status.success() {
                return Ok(());
            }
            complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        Err(format!("initdb failed: {complaint}"))
    }

    fn serve(
        &self,
        programs: &Path,
        directory: &Path,
        port: u16,
        settings: &Settings,
    ) -> Result<Child, String> {
        let mut command = self.command(&programs.join("postgres"));
        command
            .arg("-D")
            .arg(directory.join("data"))
            .arg("-k")
            .arg(directory);
        command.args([
            "-p",
            &port.to_string(),
            "-h",
            "127.0.0.1",
            "-c",
            &format!("max_connections={}", settings.connections),
        ]);
        if settings.durability == Durability::Fast {
            command.args([
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "autovacuum=off",
            ]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut server = command
            .spawn()
            .map_err(|error| format!("cannot run setpriv: {error}"))?;
        let Some(log) = server.stderr.take() else {
            return Err("no log of PostgreSQL".to_owned());
        };
        let mut log = BufReader::new(log).lines();
        let mut complaint = String::new();
        for line in log.by_ref().map_while(Result::ok) {
            if line.contains("database system is ready to accept connections") {
                std::thread::spawn(move || log.for_each(drop));
                return Ok(server);
            }
            complaint.push_str(&line);
            complaint.push('\n');
        }
        let _ = server.wait();
        Err(complaint)
    }
}

/// The folder with the newest PostgreSQL programs: `initdb`, `postgres`, `pg_dump`, `pg_restore`.
///
/// # Errors
/// A sentence that says how to get them, if they are not on this machine.
pub fn program_directory() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, directory)| directory.join("initdb").exists())
        .max();
    if let Some((_, directory)) = newest {
        return Ok(directory);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
        .ok_or_else(|| format!("PostgreSQL is not on this machine: {INSTALL}"))
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    listener
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}
