//! The users of the status: on how many nodes each is in force.

use keyslot_api::v1alpha1::UserStatus;

use crate::acl::UserRules;
use crate::desired::{Desired, Part};
use crate::settings::{SettingsReport, UserState};

pub(super) fn users(desired: &Desired, report: &SettingsReport) -> Vec<UserStatus> {
    let total = i32::try_from(report.nodes.len()).unwrap_or(i32::MAX);
    let listed = desired.users.iter().filter(|(_, user)| !is_unlisted_default(user)).map(|(name, _)| name);
    let applied = |name: &str| {
        let on = |node: &Result<crate::settings::NodeReport, _>| {
            node.as_ref().is_ok_and(|node| node.users.get(name) == Some(&UserState::Applied))
        };
        i32::try_from(report.nodes.values().filter(|node| on(node)).count()).unwrap_or(i32::MAX)
    };
    listed
        .map(|name| UserStatus {
            name: name.clone(),
            secret_name: desired.user_secrets.get(name).cloned(),
            nodes_applied: applied(name),
            nodes_total: total,
        })
        .collect()
}

/// `default` is always wanted; when the resource does not list it, it is off and may nothing.
fn is_unlisted_default(user: &Part<UserRules>) -> bool {
    matches!(user, Part::Wanted(rules) if !rules.enabled && rules.rules.is_empty() && rules.passwords.is_empty())
}
