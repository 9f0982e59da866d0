//! The users of the status: on how many nodes each is in force.

use keyslot_api::v1alpha1::{SystemRotationStage, SystemRotationStatus, User, UserStatus};

use crate::desired::{Desired, Stage};
use crate::settings::{SettingsReport, UserState};

fn previous_until(desired: &Desired, user: &str) -> Option<String> {
    desired.system.histories.get(user)?.previous_until().map(|until| format!("{until:.0}"))
}

pub(super) fn system_rotation(desired: &Desired) -> Option<SystemRotationStatus> {
    let (stage, since) = match desired.system.system_rotation.stage.as_ref()? {
        Stage::Announced(since) => (SystemRotationStage::Announced, since.as_ref()),
        Stage::InUse(since) => (SystemRotationStage::InUse, Some(since)),
    };
    Some(SystemRotationStatus { stage, since: since.map(|since| format!("{since:.0}")) })
}

pub(super) fn users(specs: &[User], desired: &Desired, report: &SettingsReport) -> Vec<UserStatus> {
    let total = i32::try_from(report.nodes.len()).unwrap_or(i32::MAX);
    // `default` is always wanted, also when nobody lists it.
    let listed = desired.users.keys().filter(|name| specs.iter().any(|spec| spec.name == **name));
    let applied = |name: &str| {
        if !report.is_about(name, desired) {
            return 0;
        }
        let on = |node: &Result<crate::settings::NodeReport, _>| {
            node.as_ref().is_ok_and(|node| node.users.get(name) == Some(&UserState::Applied))
        };
        i32::try_from(report.nodes.values().filter(|node| on(node)).count()).unwrap_or(i32::MAX)
    };
    listed
        .map(|name| UserStatus {
            name: name.clone(),
            secret_name: desired.user_secrets.get(name).cloned(),
            previous_password_valid_until: previous_until(desired, name),
            nodes_applied: applied(name),
            nodes_total: total,
        })
        .collect()
}
