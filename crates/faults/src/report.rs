//! What came of the runs: a table, and a line for each failure from which it can be run again.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, anyhow};

use crate::bad_resources::{Mutation, Outcome};
use crate::faults::{Fault, Plan};

/// At most one plan of so many may meet no request.
const UNMET_OF: usize = 10;

/// Runs and failures by flow and fault.
#[derive(Default)]
pub struct Report {
    /// How many requests each flow has, each of which can meet every fault.
    requests: BTreeMap<String, usize>,
    runs: BTreeMap<(String, Fault), (usize, usize)>,
    /// Wrong values by what came of them.
    bad: BTreeMap<&'static str, usize>,
    /// Plans of requests that not every run has, and these runs had not.
    void: usize,
    /// Plans of requests that two runs had, and these had not.
    unmet: Vec<String>,
    failures: Vec<(String, String)>,
}

impl Report {
    /// A flow has so many requests.
    pub fn explored(&mut self, flow: &str, requests: usize) {
        self.requests.insert(flow.to_owned(), requests);
    }

    /// A run is over; `false` says that the fault did not happen, which proves nothing.
    pub fn add(&mut self, plan: &Plan, outcome: Result<bool>) {
        let outcome = match outcome {
            Ok(false) if plan.depends_on_the_moment() => {
                self.void += 1;
                return;
            }
            Ok(false) => {
                self.unmet.push(plan.to_string());
                return;
            }
            other => other,
        };
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
        if std::mem::take(&mut self.void) > 0 {
            self.fail(
                "a plan that was given".to_owned(),
                &anyhow!("its request did not come, or hid nothing"),
            );
        }
        for plan in std::mem::take(&mut self.unmet) {
            self.fail(plan, &anyhow!("its request did not come, so nothing was proven"));
        }
        self
    }

    /// A few requests that only some runs have are no failure, but faults that mostly do not happen are.
    #[must_use]
    pub fn with_proof(mut self) -> Self {
        let (passed, _) = self.totals();
        if self.unmet.len() * UNMET_OF > passed {
            let words = anyhow!("{} of {passed} plans met no request", self.unmet.len());
            self.fail("proof".to_owned(), &words);
        }
        self
    }

    /// A wrong value was tried.
    pub fn add_bad(&mut self, mutation: &Mutation, outcome: Result<Outcome>) {
        let kind = match outcome {
            Ok(Outcome::Refused) => "refused",
            Ok(Outcome::Same) => "means the same as before",
            Ok(Outcome::Shown) => "accepted and told",
            Err(error) => return self.fail(mutation.to_string(), &error),
        };
        *self.bad.entry(kind).or_default() += 1;
    }

    fn fail(&mut self, what: String, error: &anyhow::Error) {
        println!("FAILED  {what}\n    {error:#}");
        self.failures.push((what, format!("{error:#}")));
    }

    /// Takes the runs of another report over.
    pub fn merge(&mut self, other: Self) {
        for (key, (runs, passed)) in other.runs {
            let sum = self.runs.entry(key).or_default();
            *sum = (sum.0 + runs, sum.1 + passed);
        }
        for (kind, count) in other.bad {
            *self.bad.entry(kind).or_default() += count;
        }
        self.requests.extend(other.requests);
        self.void += other.void;
        self.unmet.extend(other.unmet);
        self.failures.extend(other.failures);
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
        if self.void > 0 {
            writeln!(
                f,
                "{} more proved nothing: no such write of the status, or nothing to hide",
                self.void
            )?;
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
