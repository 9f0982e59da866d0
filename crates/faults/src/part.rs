//! A part of all plans, for who has an hour now and another one tomorrow: the parts together are all of them, whatever the
//! seed.

use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};
use sha2::{Digest, Sha256};

use crate::faults::Plan;

/// One of several equal parts, written as `2/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    number: u8,
    of: u8,
}

impl Part {
    /// Whether the plan is in this part.
    pub fn has(self, plan: &Plan) -> bool {
        let what = Plan { seed: 0, ..plan.clone() }.to_string();
        let [first, second, ..]: [u8; 32] = Sha256::digest(what).into();
        u16::from_be_bytes([first, second]) % u16::from(self.of) == u16::from(self.number - 1)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, of) = text.split_once('/').context("a part is written as 2/8")?;
        let (number, of) = (number.parse()?, of.parse()?);
        ensure!(1 <= number && number <= of, "there is no part {text}");
        Ok(Self { number, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_in_exactly_one_part_whatever_its_seed() {
        let plans: Vec<Plan> = (1..200)
            .map(|number| {
                format!("create | topology: create configmaps/demo-acl #{number} | timeout | seed 1")
            })
            .map(|line| line.parse().unwrap())
            .collect();
        let parts: Vec<Part> = (1..=5).map(|number| format!("{number}/5").parse().unwrap()).collect();
        for plan in &plans {
            assert_eq!(parts.iter().filter(|part| part.has(plan)).count(), 1);
            let other = Plan { seed: 2, ..plan.clone() };
            assert!(parts.iter().all(|part| part.has(plan) == part.has(&other)));
        }
        for part in parts {
            assert!(plans.iter().filter(|plan| part.has(plan)).count() > 20);
        }
        for bad in ["0/5", "6/5", "5", "x/5", "1/0"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }
}
