//! The real program as a process of its own: started, listened to, stopped or killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::Client;
use crate::programs::{built_from_present_sources, signal};

/// How to start the program.
#[derive(Debug, Clone, Default)]
pub struct KohortaOptions {
    /// Another build than the one beside the running program.
    pub program: Option<PathBuf>,
    /// The folder that it runs in; ours without.
    pub directory: Option<PathBuf>,
    /// Arguments; `--listen` with a free port is added when serving.
    pub arguments: Vec<String>,
}

impl KohortaOptions {
    /// The program that is run.
    ///
    /// # Errors
    /// A sentence that says what to run, if none is named and the one of this workspace is missing or outdated.
    pub fn resolved_program(&self) -> Result<PathBuf, String> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => built_from_present_sources("kohorta"),
        }
    }
}

/// A running server. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Kohorta {
    process: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Kohorta {
    /// Starts a server on a free port and returns once it listens.
    ///
    /// # Errors
    /// What the program said, if it ended instead.
    pub fn serve(options: &KohortaOptions) -> Result<Self, String> {
        let mut command = command(options)?;
        command
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(|error| format!("cannot run setpriv (util-linux): {error}"))?;
        let Some(errors) = process.stderr.take() else {
            return Err("no log of kohorta".to_owned());
        };
        let mut lines = BufReader::new(errors).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(Vec::new()));
        for line in lines.by_ref() {
            let address = listening_address(&line);
            push(&log, line);
            if let Some(address) = address {
                let rest = Arc::clone(&log);
                let reader = Some(std::thread::spawn(move || {
                    lines.for_each(|line| push(&rest, line));
                }));
                return Ok(Self {
                    process,
                    address,
                    log,
                    reader,
                });
            }
        }
        let status = process.wait().map_err(|error| error.to_string())?;
        let said = log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        Err(format!("kohorta ended before it listened ({status}): {said}"))
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it wrote to its log; to be asked for once it has ended.
    ///
    /// # Panics
    /// If the log could not be read.
    pub fn log_to_end(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log can be read");
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most memory that it has had so far.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the process is there");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes.expect("Linux knows the peak") * 1024
    }

    /// The last lines of its log so far.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log[log.len().saturating_sub(lines)..].to_vec()
    }

    /// SIGKILL: the process has no say in it. Returns once it is gone.
    pub fn kill(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        signal(self.process.id(), "KILL");
        let _ = self.process.wait();
    }

    /// SIGTERM, without waiting for the end.
    pub fn ask_to_stop(&self) {
        signal(self.process.id(), "TERM");
    }

    /// How it ended, if it does `within` this time.
    pub async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.process.try_wait().ok().flatten() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// A sentence, if the operating system does not say how it ended.
    pub fn terminate(&mut self) -> Result<ExitStatus, String> {
        signal(self.process.id(), "TERM");
        self.process.wait().map_err(|error| error.to_string())
    }
}

impl Drop for Kohorta {
    fn drop(&mut self) {
        if self.process.try_wait().ok().flatten().is_none() {
            self.kill();
        }
    }
}

/// Runs the program to its end, for the subcommands that end.
///
/// # Errors
/// A sentence, if it is not built or cannot be run.
pub fn run(options: &KohortaOptions) -> Result<Output, String> {
    command(options)?
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run kohorta: {error}"))
}

/// Runs the program until a line of its log contains `sign`, and kills it then: SIGKILL, it has no say in it.
///
/// # Errors
/// What it said, if it ended before.
pub fn kill_at(options: &KohortaOptions, sign: &str) -> Result<(), String> {
    let mut process = command(options)?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run kohorta: {error}"))?;
    let Some(errors) = process.stderr.take() else {
        return Err("no log of kohorta".to_owned());
    };
    let mut said = Vec::new();
    let mut met = false;
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        met = line.contains(sign);
        if met {
            signal(process.id(), "KILL");
            break;
        }
        said.push(line);
    }
    let status = process.wait().map_err(|error| error.to_string())?;
    match met && status.code().is_none() {
        true => Ok(()),
        false => Err(format!("kohorta ended by itself ({status}): {}", said.join("\n"))),
    }
}

/// The program with its arguments, without this process's settings, ending with the thread that starts it.
fn command(options: &KohortaOptions) -> Result<Command, String> {
    let program = options.resolved_program()?;
    let mut command = Command::new("setpriv");
    command
        .arg("--pdeathsig=KILL")
        .arg(program)
        .args(&options.arguments);
    for (name, _) in std::env::vars_os() {
        if name == "DATABASE_URL" || name.to_string_lossy().starts_with("KOHORTA_") {
            command.env_remove(name);
        }
    }
    command.current_dir(options.directory.as_deref().unwrap_or(Path::new(".")));
    Ok(command)
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    let (_, port) = line.split_once("127.0.0.1:")?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

fn push(log: &Mutex<Vec<String>>, line: String) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}
