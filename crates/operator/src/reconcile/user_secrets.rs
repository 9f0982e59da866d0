//! The Secrets that applications log in with: written when their user is in force, so that what they promise is true.

use std::collections::BTreeSet;

use futures::future::join_all;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::observed::Unreachable;
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
    let promised = promised(desired, report);
    let secrets = base_manifests(desired)
        .into_iter()
        .filter(|manifest| matches!(manifest, Manifest::Secret(_)) && promised.contains(manifest.name()));
    join_all(secrets.map(|secret| keep(cluster, desired, secret, ctx))).await.into_iter().collect()
}

/// Names of the Secrets whose passwords every node that answered has in force, whatever becomes of the rules; at least one
/// must have answered.
fn promised<'a>(desired: &'a Desired, report: &SettingsReport) -> BTreeSet<&'a str> {
    let refuses = |node: &Result<NodeReport, Unreachable>| {
        matches!(node, Err(Unreachable::AuthenticationFailed | Unreachable::AnswerTooLong))
    };
    if report.file_problem.is_some() || !report.unread.is_empty() || report.nodes.values().any(refuses) {
        // A node that starts again reads the file. One that answers the other loop, or refuses the operator, lets
        // applications in too, with the passwords that it had.
        return BTreeSet::new();
    }
    let answered: Vec<&NodeReport> = report.nodes.values().filter_map(|node| node.as_ref().ok()).collect();
    let lets_in = |state: Option<&UserState>| {
        matches!(state, Some(UserState::Applied | UserState::Refused { lets_in: true, .. }))
    };
    let applied = |user: &String| answered.iter().all(|node| lets_in(node.users.get(user)));
    let secrets = desired.user_secrets.iter().filter(|(user, _)| !answered.is_empty() && applied(user));
    secrets.map(|(_, secret)| secret.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keyslot_planner::Inputs;
    use keyslot_planner::desired::next_memory;
    use keyslot_planner::ids::{PodName, RunId};
    use serde_json::json;

    use super::*;

    fn desired() -> Desired {
        let cluster: RedisCluster = serde_json::from_value(json!({
            "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "demo", "namespace": "shop"},
            "spec": {"image": "redis:8.0", "users": [{"name": "app"}]},
        }))
        .unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let system = next_memory(&cluster, &Inputs::default(), now, || "made".into()).unwrap();
        Desired::from_spec(&cluster, &Inputs { system, ..Inputs::default() })
    }

    fn node(app: UserState) -> NodeReport {
        NodeReport {
            run_id: RunId::new("r"),
            users: [("app".to_owned(), app)].into(),
            strangers: Vec::new(),
            config_differences: Vec::new(),
        }
    }

    #[test]
    fn a_secret_tells_what_is_valid_on_every_node_that_answers_and_in_the_file() {
        let desired = desired();
        let refused = |lets_in| UserState::Refused { words: "no such command".to_owned(), lets_in };
        let report = |second: Result<NodeReport, Unreachable>| {
            let nodes = [("demo-0", Ok(node(UserState::Applied))), ("demo-1", second)];
            let nodes: BTreeMap<_, _> =
                nodes.into_iter().map(|(pod, node)| (PodName::new(pod), node)).collect();
            SettingsReport { nodes, ..SettingsReport::default() }
        };
        let is_told = |report: &SettingsReport| promised(&desired, report).contains("demo-user-app");
        assert!(is_told(&report(Ok(node(UserState::Applied)))));
        assert!(is_told(&report(Ok(node(refused(true))))), "passwords do not wait for rules");
        assert!(!is_told(&report(Ok(node(refused(false))))));
        assert!(!is_told(&report(Ok(node(UserState::Pending)))));
        let gone = report(Err(Unreachable::Refused));
        assert!(is_told(&gone), "nobody logs in there");
        assert!(!is_told(&report(Err(Unreachable::AuthenticationFailed))), "applications do");
        assert!(!is_told(&SettingsReport { unread: [PodName::new("demo-1")].into(), ..gone.clone() }));
        assert!(!is_told(&SettingsReport { file_problem: Some("403".to_owned()), ..gone }));
        assert!(!is_told(&SettingsReport::default()), "nobody answered");
    }
}
