//! One fault at one request, as people and files write it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Lane;

/// The longest time by which a seed delays a request, so that the loops interleave in ever new ways.
const LONGEST_DELAY: Duration = Duration::from_millis(25);

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The operator dies before it is sent, and starts again.
    CrashBefore,
    /// The operator dies when it was carried out, before it knows.
    CrashAfter,
    /// 409: somebody else was faster. A node refuses.
    Conflict,
    /// 500. A node says that it reads its data.
    ServerError,
    /// 429 with `Retry-After`. A node says that it is not so far yet.
    TooMany,
    /// It never arrives, and no answer comes.
    Timeout,
    /// It was carried out, and the answer is lost.
    AnswerLost,
    /// It was carried out, and from then on nothing is seen of pods for a while.
    HoldPods,
    /// Nothing is seen of the StatefulSet, Services and budgets for a while.
    HoldSets,
    /// Nothing is seen of ConfigMaps and Secrets for a while.
    HoldFiles,
    /// Nothing is seen of the resource for a while.
    HoldClusters,
    /// The operator dies when it was carried out, and the new one is first shown how everything was at the start.
    StaleStart,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Conflict,
        Self::ServerError,
        Self::TooMany,
        Self::Timeout,
        Self::AnswerLost,
        Self::HoldPods,
        Self::HoldSets,
        Self::HoldFiles,
        Self::HoldClusters,
        Self::StaleStart,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash-before",
            Self::CrashAfter => "crash-after",
            Self::Conflict => "conflict",
            Self::ServerError => "server-error",
            Self::TooMany => "too-many",
            Self::Timeout => "timeout",
            Self::AnswerLost => "answer-lost",
            Self::HoldPods => "hold-pods",
            Self::HoldSets => "hold-sets",
            Self::HoldFiles => "hold-files",
            Self::HoldClusters => "hold-clusters",
            Self::StaleStart => "stale-start",
        }
    }

    /// Whether it hides something, which proves nothing where there is nothing to hide.
    pub const fn hides(self) -> bool {
        !self.held().is_empty() || matches!(self, Self::StaleStart)
    }

    /// The collections of which nothing is seen for a while.
    pub const fn held(self) -> &'static [&'static str] {
        match self {
            Self::HoldPods => &["pods"],
            Self::HoldSets => &["statefulsets", "services", "poddisruptionbudgets"],
            Self::HoldFiles => &["configmaps", "secrets"],
            Self::HoldClusters => &["redisclusters"],
            Self::CrashBefore
            | Self::CrashAfter
            | Self::Conflict
            | Self::ServerError
            | Self::TooMany
            | Self::Timeout
            | Self::AnswerLost
            | Self::StaleStart => &[],
        }
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|fault| fault.as_str() == text);
        let names = || Self::ALL.map(Self::as_str).join(", ");
        found.with_context(|| format!("no fault is called {text}; there are {}", names()))
    }
}

/// A request of a flow: the same one in every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Who sends it.
    pub lane: Lane,
    /// What it is about.
    pub class: String,
    /// Which one among its like, from 1.
    pub number: usize,
}

impl Point {
    /// By how much a seed delays it: the same whenever it comes.
    pub(super) fn delay(&self, seed: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (seed, self).hash(&mut hasher);
        LONGEST_DELAY.mul_f64(SmallRng::seed_from_u64(hasher.finish()).random())
    }
}

/// A fault at a request of a flow. Written as one line, and read back from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plan {
    /// Name of the flow.
    pub flow: String,
    /// The request.
    pub at: Point,
    /// What happens to it.
    pub fault: Fault,
    /// How the requests of the loops interleave.
    pub seed: u64,
}

/// Whether a planned fault has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It has.
    Happened,
    /// Its request did not come.
    NotMet,
    /// Its request came, and there was nothing to hide after it, or the server refused what was to be carried out.
    WithoutEffect,
}

impl Plan {
    /// Whether a run may pass its request by: how often the status is written depends on when nodes answer, and which
    /// loop makes passwords on which one is first.
    pub fn depends_on_the_moment(&self) -> bool {
        self.at.class.ends_with("/status") || self.at.class.ends_with("-system")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} #{}", self.lane, self.class, self.number)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {} | seed {}", self.flow, self.at, self.fault.as_str(), self.seed)
    }
}

impl FromStr for Plan {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('|').map(str::trim).collect();
        let [flow, request, fault, seed] = parts.as_slice() else {
            bail!("not like `create | topology: create statefulsets/demo #1 | answer-lost | seed 7`: {text}")
        };
        let (lane, at) = request.split_once(": ").with_context(|| format!("no loop in {request}"))?;
        let (class, number) = at.rsplit_once(" #").with_context(|| format!("no number in {at}"))?;
        let seed = seed.strip_prefix("seed ").with_context(|| format!("no seed in {seed}"))?;
        Ok(Self {
            flow: (*flow).to_owned(),
            at: Point { lane: lane.parse()?, class: class.to_owned(), number: number.parse()? },
            fault: fault.parse()?,
            seed: seed.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_from_its_line() {
        for fault in Fault::ALL {
            let class = "patch redisclusters/demo/status".to_owned();
            let at = Point { lane: Lane::Settings, class, number: 2 };
            let plan = Plan { flow: "create".to_owned(), at, fault, seed: 7 };
            assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
        }
        assert!("create | somewhere | conflict | seed 1".parse::<Plan>().is_err());
    }
}
