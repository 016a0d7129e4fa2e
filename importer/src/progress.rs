//! How far an import is: a bar on a terminal, a line every few seconds elsewhere. Everything goes to standard error.

use std::{
    io::IsTerminal,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::counts::Counts;

/// How often a bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
/// How often a line is written.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress and messages.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    style: Style,
    counts: Arc<Counts>,
    total_bytes: Option<u64>,
    started: Instant,
}

#[derive(Debug, Clone)]
enum Style {
    Bar(ProgressBar),
    Lines,
    Quiet,
}

impl Progress {
    /// Progress through files of `total_bytes`, where that is known.
    pub(crate) fn new(counts: Arc<Counts>, total_bytes: Option<u64>, quiet: bool) -> Self {
        let style = match quiet {
            true => Style::Quiet,
            false if std::io::stderr().is_terminal() => Style::Bar(bar(total_bytes)),
            false => Style::Lines,
        };
        Self {
            style,
            counts,
            total_bytes,
            started: Instant::now(),
        }
    }

    /// Shows progress for ever; to be dropped at the end.
    pub(crate) async fn run(&self) {
        let interval = match &self.style {
            Style::Bar(_) => BAR_INTERVAL,
            Style::Lines | Style::Quiet => LINE_INTERVAL,
        };
        loop {
            tokio::time::sleep(interval).await;
            self.show();
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    /// Writes a line that has nothing to do with progress.
    #[expect(clippy::print_stderr, reason = "messages to people are this program's output")]
    pub(crate) fn say(&self, line: &str) {
        match &self.style {
            Style::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Style::Lines | Style::Quiet => eprintln!("{line}"),
        }
    }

    /// Writes a line unless only what goes wrong is to be shown.
    pub(crate) fn mention(&self, line: &str) {
        if !matches!(self.style, Style::Quiet) {
            self.say(line);
        }
    }

    fn show(&self) {
        let bytes = self.counts.bytes.load(Ordering::Relaxed);
        let settled = self.counts.tally().settled();
        let rate = rate(settled, self.started.elapsed());
        let rows = format!("{} rows, {} rows/s", grouped(settled), grouped(rate));
        match &self.style {
            Style::Quiet => {}
            Style::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_message(rows);
            }
            Style::Lines => match self.total_bytes {
                Some(total) if total > 0 => self.say(&format!("{:>3} % read, {rows}", bytes * 100 / total)),
                _ => self.say(&format!("{} read, {rows}", HumanBytes(bytes))),
            },
        }
    }
}

fn bar(total_bytes: Option<u64>) -> ProgressBar {
    let template = match total_bytes {
        Some(_) => "{bar:28} {percent:>3} %  {bytes}/{total_bytes}  {msg}  {eta} left",
        None => "{spinner} {bytes}  {msg}  {elapsed}",
    };
    let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Per second, rounded down.
pub(crate) fn rate(count: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / millis).unwrap_or(u64::MAX)
}

/// A number with commas between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{grouped, rate};

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2_000);
        assert_eq!(rate(5, Duration::ZERO), 5_000);
    }
}
