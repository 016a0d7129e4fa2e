//! What the process takes of the machine, as the operating system says it.
//!
//! Read from `/proc`, so known on Linux only; elsewhere these metrics are absent.

use std::time::Duration;

/// The kernel counts processor time in hundredths of a second wherever it shows it to programs.
const TICKS_PER_SECOND: u64 = 100;

/// What a process takes of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProcessUse {
    /// Memory that is really occupied.
    pub(crate) resident_bytes: u64,
    /// Processor time since the start, of all threads.
    pub(crate) cpu: Duration,
    /// Open files, connections included.
    pub(crate) open_files: usize,
    /// When it started, in seconds since 1970.
    pub(crate) started_at_seconds: f64,
}

impl ProcessUse {
    /// That of the present process; nothing where the operating system does not say.
    pub(crate) fn of_this() -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let resident_kilobytes = number_after(&read("/proc/self/status")?, "VmRSS:")?;
        let times = Times::parse(&read("/proc/self/stat")?)?;
        let booted_at = number_after(&read("/proc/stat")?, "btime")?;
        Some(Self {
            resident_bytes: resident_kilobytes * 1024,
            cpu: Duration::from_millis(times.cpu_ticks * 1_000 / TICKS_PER_SECOND),
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count(),
            started_at_seconds: booted_at as f64 + times.start_ticks as f64 / TICKS_PER_SECOND as f64,
        })
    }
}

/// The first number behind `label` at the beginning of a line.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What `/proc/self/stat` says about time, in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    cpu_ticks: u64,
    /// Since the machine started.
    start_ticks: u64,
}

impl Times {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |position: usize| fields.get(position)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(11)? + number(12)?,
            start_ticks: number(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ProcessUse, Times, number_after};

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 4 0 98765 1000 10 18446744073709551615\n";
        let times = Times {
            cpu_ticks: 12,
            start_ticks: 98_765,
        };
        assert_eq!(Times::parse(stat), Some(times));
        assert_eq!(Times::parse("12 (a"), None);
    }

    #[test]
    fn labels_are_read_at_the_beginning_of_lines() {
        let status = "Name:\tVmRSS: 5\nVmRSS:\t   1234 kB\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(1_234));
        assert_eq!(number_after(status, "VmSwap:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_plausible_figures() {
        let process = ProcessUse::of_this().expect("Linux says");
        assert!(
            process.resident_bytes > 1 << 20 && process.open_files > 2,
            "{process:?}"
        );
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let age = now.as_secs_f64() - process.started_at_seconds;
        assert!((-2.0..86_400.0).contains(&age), "{process:?} is {age} s old");
    }
}
