//! The operator has the rights that it uses and no others: what its roles grant is compared with the audit
//! log of the whole run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use keyslot_e2e::namespace::on_kubernetes;
use keyslot_e2e::settings::OPERATOR_NAMESPACE;
use keyslot_e2e::{audit, install};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

/// `resource verb` that is granted although a run may not use it, and why.
const GRANTED_FOR_RARE_CASES: &[(&str, &str)] = &[
    (
        "keyslot.dev/redisclusters/finalizers update",
        "asked for at admission, when an owner is named; no request",
    ),
    ("coordination.k8s.io/leases create", "once, by the first operator that a Kubernetes cluster sees"),
    ("coordination.k8s.io/leases get", "when two operators want the lease at the same moment"),
];

#[test]
fn every_granted_right_is_used_and_no_request_was_refused() -> Result<()> {
    on_kubernetes(async |client| {
        let granted = granted(client).await?;
        ensure!(!granted.is_empty(), "the operator has no roles");
        let broad = granted.iter().find(|right| right.contains('*') || right.contains("pods/exec"));
        ensure!(broad.is_none(), "{broad:?} is granted");
        let began = install::run_began(client).await?;
        let purpose = "whether each right of the operator is used and no request was refused";
        let Some(requests) = audit::operator_requests(purpose, began)? else { return Ok(()) };
        let refused: BTreeSet<String> = requests
            .iter()
            .filter(|one| one.is_forbidden())
            .map(|one| format!("{} {}: {}", one.resource(), one.verb, one.response_status.message))
            .collect();
        ensure!(refused.is_empty(), "refused: {refused:#?}");
        let of_objects = requests.iter().filter(|one| !one.object_ref.resource.is_empty());
        let used: BTreeSet<String> =
            of_objects.map(|one| format!("{} {}", one.resource(), one.verb)).collect();
        let unused: BTreeSet<&str> = granted.difference(&used).map(String::as_str).collect();
        let rare: BTreeSet<&str> = GRANTED_FOR_RARE_CASES.iter().map(|(right, _)| *right).collect();
        let superfluous: Vec<&&str> = unused.difference(&rare).collect();
        ensure!(superfluous.is_empty(), "granted and not used: {superfluous:#?}");
        let outdated = rare.iter().find(|right| !granted.contains(**right));
        ensure!(outdated.is_none(), "listed as rare and not granted: {outdated:?}");
        Ok(())
    })
}

#[test]
fn no_container_of_the_operator_has_crashed() -> Result<()> {
    on_kubernetes(async |client| {
        for pod in install::operator_pods(client).await? {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            for container in statuses.unwrap_or_default() {
                let (name, last) = (pod.name_any(), container.last_state);
                ensure!(container.restart_count == 0, "{name} has restarted: {last:?}");
            }
        }
        Ok(())
    })
}

/// `apps/statefulsets get` and so on, of all roles bound to the operator's service accounts.
async fn granted(client: &Client) -> Result<BTreeSet<String>> {
    let every = ListParams::default();
    let mut rules = Vec::new();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&every).await? {
        if is_ours(binding.subjects.as_deref()) {
            rules.extend(rules_of(client, &binding.role_ref, "").await?);
        }
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&every).await? {
        if is_ours(binding.subjects.as_deref()) {
            let namespace = binding.namespace().context("a RoleBinding without namespace")?;
            rules.extend(rules_of(client, &binding.role_ref, &namespace).await?);
        }
    }
    Ok(rules.iter().flat_map(rights).collect())
}

fn is_ours(subjects: Option<&[Subject]>) -> bool {
    let is = |subject: &Subject| {
        subject.kind == "ServiceAccount" && subject.namespace.as_deref() == Some(OPERATOR_NAMESPACE)
    };
    subjects.is_some_and(|subjects| subjects.iter().any(is))
}

async fn rules_of(client: &Client, role: &RoleRef, namespace: &str) -> Result<Vec<PolicyRule>> {
    let rules = if role.kind == "ClusterRole" {
        Api::<ClusterRole>::all(client.clone()).get(&role.name).await?.rules
    } else {
        Api::<Role>::namespaced(client.clone(), namespace).get(&role.name).await?.rules
    };
    Ok(rules.unwrap_or_default())
}

fn rights(rule: &PolicyRule) -> Vec<String> {
    let (groups, resources) = (rule.api_groups.iter().flatten(), rule.resources.iter().flatten());
    let resources: Vec<&String> = resources.collect();
    let mut rights = Vec::new();
    for group in groups {
        let group = if group.is_empty() { String::new() } else { format!("{group}/") };
        for resource in &resources {
            rights.extend(rule.verbs.iter().map(|verb| format!("{group}{resource} {verb}")));
        }
    }
    rights
}
