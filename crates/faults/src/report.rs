//! What came of the runs: a table, and a line for each failure from which it can be run again.

use std::collections::{BTreeMap, BTreeSet};
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

    /// After every plan of some flows: a fault that never happened in one of them is none. One that hides something need
    /// not find anything to hide in each flow, but has to in some when they are all flows.
    #[must_use]
    pub fn with_every_fault(mut self, are_all: bool) -> Self {
        let flows: Vec<String> = self
            .requests
            .iter()
            .filter(|(_, requests)| **requests > 0)
            .map(|(flow, _)| flow.clone())
            .collect();
        for fault in Fault::ALL {
            let has = |flow: &&String| self.runs.contains_key(&((*flow).clone(), fault));
            let never = if fault.hides() {
                let is_missing = are_all && !flows.iter().any(|flow| has(&flow));
                if is_missing { vec!["any flow".to_owned()] } else { Vec::new() }
            } else {
                flows.iter().filter(|flow| !has(flow)).cloned().collect()
            };
            for flow in never {
                let words = anyhow!("it has never happened in {flow}");
                self.fail(format!("proof of {}", fault.as_str()), &words);
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
        if !self.runs.is_empty() || !self.requests.is_empty() {
            writeln!(f, "| Flow | requests | {names} |\n|---|---{}|", "|---".repeat(Fault::ALL.len()))?;
        }
        let run = self.runs.keys().map(|(flow, _)| flow);
        let flows: BTreeSet<&String> = run.chain(self.requests.keys()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fault: Fault) -> Plan {
        let mut plan: Plan = "create | topology: redis meet #1 | conflict | seed 1".parse().unwrap();
        plan.fault = fault;
        plan
    }

    fn explored() -> Report {
        let mut report = Report::default();
        report.explored("create", 1);
        report
    }

    #[test]
    fn a_fault_that_never_happened_where_it_could_is_a_failure() {
        let mut report = explored();
        for fault in Fault::ALL.into_iter().filter(|fault| !fault.hides()) {
            report.add(&plan(fault), Ok(Proof::Happened));
        }
        for fault in Fault::ALL.into_iter().filter(|fault| fault.hides()) {
            report.add(&plan(fault), Ok(Proof::WithoutEffect));
        }
        let passed = report.totals().0;
        let report = report.with_every_fault(false);
        assert_eq!(report.totals(), (passed, 0));
        assert!(report.with_every_fault(true).totals().1 > 0, "some flow has something to hide");
        assert!(explored().with_every_fault(false).totals().1 > 0);
    }

    #[test]
    fn a_plan_that_proved_nothing_is_not_counted_and_fails_when_it_was_given() {
        for proof in [Proof::NotMet, Proof::WithoutEffect] {
            let mut report = explored();
            report.add(&plan(Fault::Conflict), Ok(proof));
            assert_eq!(report.totals(), (0, 0));
            assert_eq!(report.without_void().totals(), (0, 1));
        }
    }
}
