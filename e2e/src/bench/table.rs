//! The table that a benchmark prints: one row for each figure.

use std::fmt::Write as _;

use super::shape::Shape;

/// What a figure is of: the server with its version, and the cluster's shape.
pub type Of<'a> = (&'a str, Shape);

/// The rows, in the order in which they were measured.
pub struct Table {
    /// What the two columns of figures are of, to which a ratio and an aim belong.
    sides: [&'static str; 2],
    rows: Vec<[String; 7]>,
}

impl Table {
    pub const fn of(sides: [&'static str; 2]) -> Self {
        Self { sides, rows: Vec::new() }
    }

    /// One figure: both sides, their ratio, and the aim.
    pub fn row(&mut self, figure: &str, (server, shape): Of<'_>, cells: [String; 4]) {
        let [one, other, ratio, aim] = cells;
        self.rows.push([figure.to_owned(), server.to_owned(), shape.to_string(), one, other, ratio, aim]);
    }

    pub fn markdown(&self) -> String {
        let [one, other] = self.sides;
        let mut text = format!(
            "| figure | server | shape | {one} | {other} | ratio | aim |\n|---|---|---|---|---|---|---|\n"
        );
        for row in &self.rows {
            // Writing into a String can't fail.
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

/// A cell without anything.
pub fn none() -> String {
    "–".to_owned()
}

/// An aim, and whether a value reaches it.
pub fn aim(value: f64, most: f64, unit: &str) -> String {
    format!("≤ {most}{unit}: {}", met(value <= most))
}

/// In one word.
pub const fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_told_with_the_aim() {
        assert_eq!(aim(3.0, 3.0, " s"), "≤ 3 s: met");
        assert_eq!(aim(3.51, 3.5, " s"), "≤ 3.5 s: **missed**");
    }
}
