//! What came of the runs: a table, and a line for each failure from which it can be run again.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, anyhow};

use crate::faults::{Fault, Plan, Proof};

/// At most one plan of so many of a flow may meet no request.
const UNMET_OF: usize = 10;
/// So many say nothing.
const FEW: usize = 3;

/// Runs and failures by flow and fault.
#[derive(Default)]
pub struct Report {
    /// How many requests each flow has, each of which can meet every fault.
    requests: BTreeMap<String, usize>,
    runs: BTreeMap<(String, Fault), (usize, usize)>,
    /// Wrong values by what came of them.
    bad: BTreeMap<&'static str, usize>,
    /// Plans of requests that not every run has, and these runs had not.
    void: Vec<Plan>,
    /// Plans whose request came, with nothing to hide after it, or refused by its server.
    without_effect: Vec<Plan>,
    /// Plans of requests that two runs had, and these had not.
    unmet: Vec<Plan>,
    failures: Vec<(String, String)>,
}

impl Report {
    /// A flow has so many requests.
    pub fn explored(&mut self, flow: &str, requests: usize) {
        self.requests.insert(flow.to_owned(), requests);
    }

    /// A run is over; one whose fault did not happen proves nothing.
    pub fn add(&mut self, plan: &Plan, outcome: Result<Proof>) {
        match outcome {
            Ok(Proof::WithoutEffect) => {
                self.without_effect.push(plan.clone());
                return;
            }
            Ok(Proof::NotMet) if plan.depends_on_the_moment() => {
                self.void.push(plan.clone());
                return;
            }
            Ok(Proof::NotMet) => {
                self.unmet.push(plan.clone());
                return;
            }
            Ok(Proof::Happened) | Err(_) => {}
        }
        let (runs, passed) = self.runs.entry((plan.flow.clone(), plan.fault)).or_default();
        *runs += 1;
        match outcome {
            Ok(_) => *passed += 1,
            Err(error) => self.fail(plan.to_string(), &error),
        }
        let (passed, failed) = self.totals();
        if (passed + failed).is_multiple_of(100) {
            println!("so far {passed} runs passed, {failed} failed");
        }
    }

    /// Every one of these plans was expected to meet its request.
    #[must_use]
    pub fn without_void(mut self) -> Self {
        for plan in std::mem::take(&mut self.without_effect) {
            self.fail(plan.to_string(), &anyhow!("its fault had no effect, so nothing was proven"));
        }
        for plan in [std::mem::take(&mut self.void), std::mem::take(&mut self.unmet)].concat() {
            self.fail(plan.to_string(), &anyhow!("its request did not come, so nothing was proven"));
        }
        self
    }

    /// A few requests that only some runs of a flow have are no failure, but faults that mostly do not happen are.
    #[must_use]
    pub fn with_proof(mut self) -> Self {
        let mut unmet: BTreeMap<String, usize> = BTreeMap::new();
        for plan in &self.unmet {
            *unmet.entry(plan.flow.clone()).or_default() += 1;
        }
        for (flow, unmet) in unmet {
            let of_flow = self.runs.iter().filter(|((of, _), _)| *of == flow);
            let runs: usize = of_flow.map(|(_, (runs, _))| runs).sum();
            if unmet > FEW && unmet * UNMET_OF > runs {
                let words = anyhow!("{unmet} plans met no request, and {runs} did");
                self.fail(format!("proof of {flow}"), &words);
            }
        }
        self
    }

    /// After every plan there is: a fault that never happened is none.
    #[must_use]
    pub fn with_every_fault(mut self) -> Self {
        for fault in Fault::ALL {
            if !self.runs.keys().any(|(_, happened)| *happened == fault) {
                self.fail(format!("proof of {}", fault.as_str()), &anyhow!("it has never happened"));
            }
        }
        self
    }

    /// A wrong value was tried, with what came of it in words.
    pub fn add_bad(&mut self, wrong: String, outcome: Result<&'static str>) {
        match outcome {
            Ok(kind) => *self.bad.entry(kind).or_default() += 1,
            Err(error) => self.fail(wrong, &error),
        }
    }

    /// Something failed.
    pub fn fail(&mut self, what: String, error: &anyhow::Error) {
        println!("FAILED  {what}\n    {error:#}");
        self.failures.push((what, format!("{error:#}")));
    }

    /// Both reports in one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (key, (runs, passed)) in other.runs {
            let sum = self.runs.entry(key).or_default();
            *sum = (sum.0 + runs, sum.1 + passed);
        }
        for (kind, count) in other.bad {
            *self.bad.entry(kind).or_default() += count;
        }
        self.requests.extend(other.requests);
        self.void.extend(other.void);
        self.without_effect.extend(other.without_effect);
        self.unmet.extend(other.unmet);
        self.failures.extend(other.failures);
        self
    }

    /// How many runs passed and failed.
    pub fn totals(&self) -> (usize, usize) {
        let passed = self.runs.values().map(|(_, passed)| passed).sum::<usize>();
        (passed + self.bad.values().sum::<usize>(), self.failures.len())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Fault::ALL.map(Fault::as_str).join(" | ");
        if !self.runs.is_empty() {
            writeln!(f, "| Flow | requests | {names} |\n|---|---{}|", "|---".repeat(Fault::ALL.len()))?;
        }
        let flows: std::collections::BTreeSet<&String> = self.runs.keys().map(|(flow, _)| flow).collect();
        for flow in flows {
            let cell = |fault| match self.runs.get(&(flow.clone(), fault)) {
                Some((runs, passed)) => format!("{passed}/{runs}"),
                None => "-".to_owned(),
            };
            let requests = self.requests.get(flow).map_or_else(|| "-".to_owned(), usize::to_string);
            writeln!(f, "| {flow} | {requests} | {} |", Fault::ALL.map(cell).join(" | "))?;
        }
        if !self.void.is_empty() {
            writeln!(f, "{} more proved nothing: the status was not written so often", self.void.len())?;
        }
        if !self.without_effect.is_empty() {
            let count = self.without_effect.len();
            writeln!(f, "{count} more had no effect: nothing to hide, or refused by the server itself")?;
        }
        for plan in &self.unmet {
            writeln!(f, "proved nothing, its request did not come in three runs: {plan}")?;
        }
        for (kind, count) in &self.bad {
            writeln!(f, "{count} wrong values: {kind}")?;
        }
        for (what, why) in &self.failures {
            writeln!(f, "\nfailed: {what}\n    {why}")?;
        }
        Ok(())
    }
}
