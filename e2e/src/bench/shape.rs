//! Shapes of clusters, such as `3x1`: 3 shards with 1 replica each.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub shards: i32,
    pub replicas: i32,
}

impl Shape {
    pub fn nodes(self) -> usize {
        usize::try_from(self.shards * (1 + self.replicas)).unwrap_or_default()
    }

    pub fn primaries(self) -> usize {
        usize::try_from(self.shards).unwrap_or_default()
    }
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (shards, replicas) = text.split_once('x').context("a shape looks like 3x1")?;
        let shape = Self { shards: shards.parse()?, replicas: replicas.parse()? };
        // redis-cli refuses to make fewer than three primaries.
        ensure!((3..=50).contains(&shape.shards), "3 to 50 shards");
        ensure!((0..=3).contains(&shape.replicas), "0 to 3 replicas");
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.shards, self.replicas)
    }
}
