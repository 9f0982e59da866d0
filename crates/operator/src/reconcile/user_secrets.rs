//! The Secrets that applications log in with: written when their user is in force, so that what they promise is true.

use std::collections::BTreeSet;

use futures::future::join_all;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::settings::{NodeReport, SettingsReport, UserState};
use keyslot_planner::{Desired, Manifest, base_manifests};

use super::base_objects::keep;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects;

/// Writes those of users that are in force. The first failure is the answer.
pub async fn write<N: Nodes>(
    cluster: &RedisCluster,
    desired: &Desired,
    report: &SettingsReport,
    ctx: &Context<N>,
) -> Result<(), objects::Error> {
    // A node that starts again reads the file.
    let promised = if report.file_problem.is_none() { in_force(desired, report) } else { BTreeSet::new() };
    let secrets = base_manifests(desired)
        .into_iter()
        .filter(|manifest| matches!(manifest, Manifest::Secret(_)) && promised.contains(manifest.name()));
    join_all(secrets.map(|secret| keep(cluster, desired, secret, ctx))).await.into_iter().collect()
}

/// Names of the Secrets whose users every node that answered has in force; at least one must have answered.
fn in_force<'a>(desired: &'a Desired, report: &SettingsReport) -> BTreeSet<&'a str> {
    let answered: Vec<&NodeReport> = report.nodes.values().filter_map(|node| node.as_ref().ok()).collect();
    let applied =
        |user: &String| answered.iter().all(|node| node.users.get(user) == Some(&UserState::Applied));
    let secrets = desired.user_secrets.iter().filter(|(user, _)| !answered.is_empty() && applied(user));
    secrets.map(|(_, secret)| secret.as_str()).collect()
}
