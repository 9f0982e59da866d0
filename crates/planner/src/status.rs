//! What the resource's status says: a pure function of what was wanted, seen and done.

use jiff::Timestamp;
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterStatus};

use crate::desired::Desired;
use crate::observed::Observed;
use crate::plan::{Outcome, Plan};
use crate::settings::SettingsReport;

/// Everything that status is made from. What is `None` was not looked at yet (after a start of the operator): the
/// conditions that depend on it stay as they are in the resource.
#[derive(Clone, Copy, Debug)]
pub struct StatusInputs<'a> {
    /// The resource with its present status.
    pub cluster: &'a RedisCluster,
    /// What is wanted.
    pub desired: &'a Desired,
    /// The topology loop's last look, plan and outcome.
    pub topology: Option<(&'a Observed, &'a Plan, &'a Outcome)>,
    /// The settings loop's last report.
    pub settings: Option<&'a SettingsReport>,
    /// The present time.
    pub now: Timestamp,
}

/// A change of a condition that people are told of by an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub note: String,
}

/// The whole status.
pub fn status(_inputs: StatusInputs<'_>) -> RedisClusterStatus {
    RedisClusterStatus::default()
}

/// Events for the conditions that changed between two statuses.
pub fn transitions(_before: Option<&RedisClusterStatus>, _after: &RedisClusterStatus) -> Vec<Transition> {
    Vec::new()
}
