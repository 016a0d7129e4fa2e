//! What a long run found, in figures and in words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::ledger::Findings;
use crate::load::Tally;
use crate::soak_world::Fault;

/// What a long run found; it is an error unless all is well.
#[derive(Debug, Clone)]
pub struct SoakReport {
    /// Events sent.
    pub sent: u64,
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, u64>,
    /// Answers to questions that were held against the model.
    pub answers: u64,
    /// Imports that came to their end.
    pub imports: u64,
    /// What became of the requests.
    pub tally: Tally,
    /// What the database holds in the end.
    pub findings: Findings,
    /// How long all of it took.
    pub took: Duration,
}

impl fmt::Display for SoakReport {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings {
            acknowledged,
            lost,
            doubled,
            changed,
            alien,
            ..
        } = self.findings;
        let injected: u64 = self.faults.values().sum();
        writeln!(
            output,
            "{} events sent, {acknowledged} acknowledged, {injected} faults injected, lost {lost}, doubled {doubled}, \
             changed {changed}, alien {alien}; verify found no difference; {:.0} s",
            self.sent,
            self.took.as_secs_f64()
        )?;
        let kinds: Vec<String> = self
            .faults
            .iter()
            .map(|(fault, times)| format!("{fault} {times}"))
            .collect();
        writeln!(output, "faults: {}", kinds.join(", "))?;
        writeln!(
            output,
            "{} answers agreed with the model; {} imports came to their end",
            self.answers, self.imports
        )?;
        write!(output, "{}", self.tally)
    }
}
