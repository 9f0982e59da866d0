//! From measurements to rows of the table.

use keyslot_e2e::bench::table::{Of, Table, aim, met, none};

use crate::many::Many;
use crate::sides::{Counts, Side, Sides};

/// Up to so many nodes, an edit is everywhere after so many seconds.
const EDITS: [(usize, f64); 2] = [(6, 0.5), (30, 1.0)];
/// All sessions of who is revoked are closed.
const REVOCATIONS: f64 = 1.0;

/// Percentiles by the nearest rank: those that were measured, none in between.
struct Percentiles {
    half: f64,
    nearly_all: f64,
    most: f64,
}

impl Percentiles {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).checked_sub(1)?);
        Some(Self { half: *rank(50)?, nearly_all: *rank(99)?, most: *sorted.last()? })
    }

    fn seconds(&self) -> String {
        format!("{:.2} / {:.2} / {:.2} s", self.half, self.nearly_all, self.most)
    }
}

/// The rows of one cluster.
pub fn sides(table: &mut Table, of: Of<'_>, sides: &Sides, counts: Counts) {
    let nodes = of.1.nodes();
    let everywhere = EDITS.iter().find(|(most, _)| nodes <= *most).map(|(_, seconds)| *seconds);
    let mut row = |figure: &str, values: fn(&Side) -> Vec<f64>, aimed: Option<Aim>| {
        let of_side = |side: &Side| Percentiles::of(values(side).into_iter());
        let (answering, hanging) = (of_side(&sides.answering), of_side(&sides.hanging));
        let Some(answering) = answering else { return };
        table.row(figure, of, cells(&answering, hanging.as_ref(), aimed));
    };
    let p99 = everywhere.map(|seconds| Aim { what: "p99", value: |of| of.nearly_all, seconds });
    let edits = counts.edits;
    let figure = format!("edit → in force on all nodes that answer, of {edits}");
    row(&figure, |side| side.edits.iter().map(|edit| edit.all_nodes).collect(), p99);
    row("… on the first node", |side| side.edits.iter().map(|edit| edit.first_node).collect(), None);
    row("… patch answered", |side| side.edits.iter().map(|edit| edit.accepted).collect(), None);
    let figure = format!("edit 0.1 s after another → in force on all nodes that answer, of {}", counts.soon);
    row(&figure, |side| side.soon.iter().map(|edit| edit.all_nodes).collect(), p99);
    let most = Aim { what: "max", value: |of| of.most, seconds: REVOCATIONS };
    let Counts { sessions, revocations, .. } = counts;
    let figure =
        format!("revoke → all sessions closed, {sessions} on each node that answers, of {revocations}");
    row(&figure, |side| side.revocations.clone(), Some(most));
}

/// Seconds that a figure may have at most.
#[derive(Clone, Copy)]
struct Aim {
    what: &'static str,
    value: fn(&Percentiles) -> f64,
    seconds: f64,
}

fn cells(answering: &Percentiles, hanging: Option<&Percentiles>, aimed: Option<Aim>) -> [String; 4] {
    let ratio = |hanging: &Percentiles| {
        let (half, most) = (hanging.half / answering.half, hanging.most / answering.most);
        format!("p50 {half:.2} ×, max {most:.2} ×")
    };
    let aimed = aimed.map(|Aim { what, value, seconds }| {
        let beside =
            hanging.map(|hanging| format!(", beside a hanging one {}", met(value(hanging) <= seconds)));
        format!("{what} {}{}", aim(value(answering), seconds, " s"), beside.unwrap_or_default())
    });
    [
        answering.seconds(),
        hanging.map_or_else(none, Percentiles::seconds),
        hanging.map_or_else(none, ratio),
        aimed.unwrap_or_else(none),
    ]
}

/// The row of a patch that changes all users.
pub fn many(table: &mut Table, of: Of<'_>, users: usize, runs: &[Many]) {
    let Some(seconds) = Percentiles::of(runs.iter().map(|run| run.all_nodes)) else { return };
    let middle = |value: fn(&Many) -> f64| Percentiles::of(runs.iter().map(value)).map_or(0.0, |of| of.half);
    let figure = format!(
        "one patch of all {users} users → in force on all nodes, of {}: {:.0} passes, {:.0} commands that set a user",
        runs.len(),
        middle(|run| run.passes),
        middle(|run| run.commands),
    );
    table.row(&figure, of, [seconds.seconds(), none(), none(), none()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentiles(values: impl Iterator<Item = u32>) -> String {
        Percentiles::of(values.map(|value| f64::from(value) / 100.0)).unwrap().seconds()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(percentiles(1..=100), "0.50 / 0.99 / 1.00 s");
        assert_eq!(percentiles(1..=50), "0.25 / 0.50 / 0.50 s", "fewer than 100: the greatest");
        assert_eq!(percentiles(7..=7), "0.07 / 0.07 / 0.07 s");
        assert!(Percentiles::of(std::iter::empty()).is_none());
    }

    #[test]
    fn an_aim_is_judged_on_both_sides() {
        let (quick, slow) = (Percentiles::of([0.4].into_iter()), Percentiles::of([2.0].into_iter()));
        let aimed = Aim { what: "p99", value: |of| of.nearly_all, seconds: 0.5 };
        let [_, _, ratio, aim] = cells(quick.as_ref().unwrap(), slow.as_ref(), Some(aimed));
        assert_eq!(ratio, "p50 5.00 ×, max 5.00 ×");
        assert_eq!(aim, "p99 ≤ 0.5 s: met, beside a hanging one **missed**");
    }
}
