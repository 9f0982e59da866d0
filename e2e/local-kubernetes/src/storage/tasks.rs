//! What the provisioner has to do, decided from objects alone.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::quantity::bytes;
use crate::layout::{Node, PROVISIONER, STORAGE_CLASS};

pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const HOST_NAME: &str = "kubernetes.io/hostname";

/// Everything that the decision depends on.
pub struct Objects {
    pub classes: Vec<StorageClass>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub volumes: Vec<PersistentVolume>,
}

#[derive(Debug)]
pub enum Task {
    /// The scheduler has chosen a node for a claim of ours: make a disk there and a volume of it.
    Provision { claim: Box<PersistentVolumeClaim>, class: Box<StorageClass>, node: Node, size: u64 },
    /// A claim asks for more than its volume has.
    Grow { claim: Box<PersistentVolumeClaim>, volume: String, node: Node, size: u64 },
    /// The claim is gone and its class says that the content goes too.
    Remove { volume: String, node: Node },
}

pub fn decide(objects: &Objects) -> Vec<Task> {
    let provisions = objects.claims.iter().filter_map(|claim| provision(objects, claim));
    let grows = objects.claims.iter().filter_map(|claim| grow(objects, claim));
    let removals = objects.volumes.iter().filter_map(remove);
    provisions.chain(grows).chain(removals).collect()
}

pub fn volume_name(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.metadata.uid.as_ref().map(|uid| format!("pvc-{uid}"))
}

pub fn requested(claim: &PersistentVolumeClaim) -> Option<u64> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    bytes(&requests.get("storage")?.0)
}

fn provision(objects: &Objects, claim: &PersistentVolumeClaim) -> Option<Task> {
    let spec = claim.spec.as_ref()?;
    let is_block = spec.volume_mode.as_deref() == Some("Block");
    if spec.volume_name.is_some() || is_block || claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let class_name = spec.storage_class_name.as_deref().unwrap_or(STORAGE_CLASS);
    let class = objects.classes.iter().find(|class| class.metadata.name.as_deref() == Some(class_name))?;
    if class.provisioner != PROVISIONER {
        return None;
    }
    let node = Node::named(claim.metadata.annotations.as_ref()?.get(SELECTED_NODE)?)?;
    let name = volume_name(claim)?;
    if objects.volumes.iter().any(|volume| volume.metadata.name.as_ref() == Some(&name)) {
        return None;
    }
    let size = requested(claim)?;
    Some(Task::Provision { claim: Box::new(claim.clone()), class: Box::new(class.clone()), node, size })
}

fn grow(objects: &Objects, claim: &PersistentVolumeClaim) -> Option<Task> {
    let name = claim.spec.as_ref()?.volume_name.as_ref()?;
    let volume = objects.volumes.iter().find(|volume| volume.metadata.name.as_ref() == Some(name))?;
    let node = node_of_ours(volume)?;
    let size = requested(claim)?;
    let has = capacity_of(volume.spec.as_ref()?.capacity.as_ref())?;
    let shown = capacity_of(claim.status.as_ref()?.capacity.as_ref())?;
    let is_bound = claim.status.as_ref()?.phase.as_deref() == Some("Bound");
    (is_bound && (has < size || shown < size)).then(|| Task::Grow {
        claim: Box::new(claim.clone()),
        volume: name.clone(),
        node,
        size,
    })
}

fn capacity_of(
    capacity: Option<
        &std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
    >,
) -> Option<u64> {
    bytes(&capacity?.get("storage")?.0)
}

fn remove(volume: &PersistentVolume) -> Option<Task> {
    let node = node_of_ours(volume)?;
    let is_released = volume.status.as_ref()?.phase.as_deref() == Some("Released");
    let is_to_go = volume.spec.as_ref()?.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    (is_released && is_to_go && volume.metadata.deletion_timestamp.is_none())
        .then(|| Task::Remove { volume: volume.metadata.name.clone().unwrap_or_default(), node })
}

/// The node of a volume that this provisioner made.
fn node_of_ours(volume: &PersistentVolume) -> Option<Node> {
    if volume.metadata.annotations.as_ref()?.get(PROVISIONED_BY)? != PROVISIONER {
        return None;
    }
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let expressions = required.node_selector_terms.first()?.match_expressions.as_ref()?;
    let host = expressions.iter().find(|expression| expression.key == HOST_NAME)?;
    Node::named(host.values.as_ref()?.first()?)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn object<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn class(provisioner: &str) -> StorageClass {
        object(json!({ "metadata": { "name": "local" }, "provisioner": provisioner }))
    }

    fn waiting_claim() -> Value {
        json!({
            "metadata": { "name": "data", "uid": "u1", "annotations": { SELECTED_NODE: "node2" } },
            "spec": { "storageClassName": "local", "resources": { "requests": { "storage": "20Mi" } } },
        })
    }

    fn bound_claim(asked: &str) -> Value {
        json!({
            "metadata": { "name": "data", "uid": "u1" },
            "spec": {
                "storageClassName": "local",
                "volumeName": "pvc-u1",
                "resources": { "requests": { "storage": asked } },
            },
            "status": { "phase": "Bound", "capacity": { "storage": "20Mi" } },
        })
    }

    fn volume(phase: &str, policy: &str) -> PersistentVolume {
        let host = json!({ "key": HOST_NAME, "operator": "In", "values": ["node2"] });
        object(json!({
            "metadata": { "name": "pvc-u1", "annotations": { PROVISIONED_BY: PROVISIONER } },
            "spec": {
                "capacity": { "storage": "20Mi" },
                "persistentVolumeReclaimPolicy": policy,
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [host] }] } },
            },
            "status": { "phase": phase },
        }))
    }

    fn decide_for(provisioner: &str, claim: Value, volumes: Vec<PersistentVolume>) -> Vec<Task> {
        decide(&Objects { classes: vec![class(provisioner)], claims: vec![object(claim)], volumes })
    }

    #[test]
    fn a_claim_gets_a_volume_on_the_node_that_the_scheduler_chose() {
        let tasks = decide_for(PROVISIONER, waiting_claim(), vec![]);
        assert!(matches!(&tasks[..], [Task::Provision { node, size, .. }]
            if node.name() == "node2" && *size == 20 << 20));
    }

    #[test]
    fn a_claim_waits_for_the_scheduler() {
        let mut claim = waiting_claim();
        claim["metadata"]["annotations"] = json!({});
        assert!(decide_for(PROVISIONER, claim, vec![]).is_empty());
    }

    #[test]
    fn claims_of_other_provisioners_are_left_alone() {
        assert!(decide_for("example.com/other", waiting_claim(), vec![]).is_empty());
    }

    #[test]
    fn a_claim_with_a_volume_gets_no_second_one() {
        assert!(decide_for(PROVISIONER, waiting_claim(), vec![volume("Available", "Delete")]).is_empty());
    }

    #[test]
    fn a_volume_grows_when_its_claim_asks_for_more_and_never_shrinks() {
        let bound = || vec![volume("Bound", "Delete")];
        let tasks = decide_for(PROVISIONER, bound_claim("40Mi"), bound());
        assert!(matches!(&tasks[..], [Task::Grow { size, .. }] if *size == 40 << 20));
        assert!(decide_for(PROVISIONER, bound_claim("20Mi"), bound()).is_empty());
        assert!(decide_for(PROVISIONER, bound_claim("10Mi"), bound()).is_empty());
    }

    #[test]
    fn only_released_volumes_that_may_go_are_removed() {
        let removals = |phase: &str, policy: &str| {
            let objects = Objects { classes: vec![], claims: vec![], volumes: vec![volume(phase, policy)] };
            decide(&objects).len()
        };
        assert_eq!(removals("Released", "Delete"), 1);
        assert_eq!(removals("Released", "Retain"), 0);
        assert_eq!(removals("Bound", "Delete"), 0);
    }
}
