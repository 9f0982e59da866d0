//! The table that is printed: one row for each figure.

use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::bench::table::{self, Of, aim, met, none};

use crate::idle::Idle;
use crate::keyslot;
use crate::memory::Resident;
use crate::redis_cli;

/// Seconds from `kubectl apply` to Ready.
const MOST_TO_READY: f64 = 8.0;
const MOST_MEGABYTES: f64 = 20.0;
/// Per node and second.
const MOST_COMMANDS: f64 = 1.0;

/// All runs of one shape.
#[derive(Default)]
pub struct Runs {
    pub keyslot: Vec<keyslot::Run>,
    pub redis_cli: Vec<redis_cli::Run>,
    /// Begun only when all pods were Ready.
    pub patient_redis_cli: Vec<redis_cli::Run>,
}

impl Runs {
    /// The last run of each, for people who wait.
    pub fn last(&self) -> String {
        let ours = self.keyslot.last().map(|run| {
            let (ready, formed, running) = (run.apply_to_ready, run.start_to_formed, run.running_to_formed);
            format!(
                "Ready {ready:.2} s, formed {formed:.2} s after the last start, {running:.2} s after Running"
            )
        });
        let theirs = [&self.redis_cli, &self.patient_redis_cli].into_iter().filter_map(|runs| runs.last());
        let theirs =
            theirs.map(|run| format!("redis-cli ended {:.2} s, formed {:.2} s", run.exit, run.formed));
        ours.into_iter().chain(theirs).collect::<Vec<_>>().join("; ")
    }
}

/// The rows, in the order in which they were measured.
pub struct Table(table::Table);

impl Default for Table {
    fn default() -> Self {
        Self(table::Table::of(["Keyslot", "redis-cli"]))
    }
}

impl Table {
    pub fn formed(&mut self, of: Of<'_>, runs: &Runs) {
        let keyslot = |figure: fn(&keyslot::Run) -> f64| Spread::of(runs.keyslot.iter().map(figure));
        let ready = keyslot(|run| run.apply_to_ready);
        let formed = keyslot(|run| run.start_to_formed);
        let running = keyslot(|run| run.running_to_formed);
        let formed_aim = most_to_formed(of.1).map_or_else(none, |most| aim(formed.median, most, " s"));
        self.compared("apply → Ready", of, (&ready, None), aim(ready.median, MOST_TO_READY, " s"));
        self.compared("all pods Running → formed", of, (&running, None), none());
        self.compared("last process start → formed", of, (&formed, None), formed_aim);
        for (begin, runs) in [("all answer", &runs.redis_cli), ("all Ready", &runs.patient_redis_cli)] {
            let figure = |figure: fn(&redis_cli::Run) -> f64| Spread::of(runs.iter().map(figure));
            let name = format!("… redis-cli begun when {begin}");
            self.compared(&name, of, (&formed, Some(&figure(|run| run.formed))), none());
            let name = format!("{name}: its exit");
            self.compared(&name, of, (&formed, Some(&figure(|run| run.exit))), none());
        }
    }

    pub fn idle(&mut self, of: Of<'_>, idle: &Idle) {
        let Idle { seconds, method, .. } = idle;
        let (writes, commands) = (idle.writes.len(), idle.most_commands());
        let figure = format!("idle for {seconds} s: API writes besides the Lease");
        self.single(&figure, of, (writes.to_string(), format!("0: {}", met(writes == 0))));
        let figure = format!("idle for {seconds} s: commands per second, busiest node ({method})");
        self.single(&figure, of, (format!("{commands:.2}"), aim(commands, MOST_COMMANDS, "")));
    }

    pub fn memory(&mut self, when: &str, of: Of<'_>, memory: Resident) {
        let Resident { all, anonymous } = memory;
        let value = format!("{all:.1} MB ({anonymous:.1} MB anonymous)");
        let figure = format!("resident memory of the leader, {when}");
        self.single(&figure, of, (value, aim(all, MOST_MEGABYTES, " MB")));
    }

    fn compared(
        &mut self,
        figure: &str,
        of: Of<'_>,
        (ours, theirs): (&Spread, Option<&Spread>),
        aim: String,
    ) {
        let ratio = theirs.map(|theirs| format!("{:.1} ×", theirs.median / ours.median));
        let theirs = theirs.map_or_else(none, Spread::seconds);
        self.0.row(figure, of, [ours.seconds(), theirs, ratio.unwrap_or_else(none), aim]);
    }

    fn single(&mut self, figure: &str, of: Of<'_>, (value, aim): (String, String)) {
        self.0.row(figure, of, [value, none(), none(), aim]);
    }

    pub fn markdown(&self) -> String {
        self.0.markdown()
    }
}

/// Seconds from the last process start, where an aim was set.
fn most_to_formed(shape: Shape) -> Option<f64> {
    match (shape.shards, shape.replicas) {
        (3, 1) => Some(3.0),
        (6, 1) => Some(3.5),
        _ => None,
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { least: at(0), median, most: at(last) }
    }

    fn seconds(&self) -> String {
        format!("{:.2} s ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        let seconds = |values: &[f64]| Spread::of(values.iter().copied()).seconds();
        assert_eq!(seconds(&[3.0, 1.0, 2.0]), "2.00 s (1.00–3.00)");
        assert_eq!(seconds(&[4.0, 1.0, 2.0, 3.0]), "2.50 s (1.00–4.00)");
        assert_eq!(seconds(&[1.5]), "1.50 s (1.50–1.50)");
    }
}
