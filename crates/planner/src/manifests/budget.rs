//! `PodDisruptionBudget` `<name>-<shard>`: a drain takes one copy of a shard at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use keyslot_api::labels;

use super::meta::Owner;
use super::{Manifest, names};
use crate::desired::Desired;
use crate::ids::ShardNumber;

/// The budget of one shard. A pod that is not ready may be evicted only while the others of its shard are all ready: a
/// replica that is still loading may be the copy that counts.
///
/// Said as `minAvailable`: with `maxUnavailable` Kubernetes expects all pods of the StatefulSet behind the selector's,
/// so that a budget of one shard of several would never allow anything.
pub fn budget(desired: &Desired, shard: ShardNumber) -> Manifest {
    let owner = Owner::from(desired);
    let mut metadata = owner.metadata(names::budget(&desired.name, shard));
    let shard_label = (labels::SHARD.to_owned(), shard.to_string());
    metadata.labels.get_or_insert_default().extend([shard_label.clone()]);
    let mut selector = owner.selector();
    selector.extend([shard_label]);
    Manifest::PodDisruptionBudget(PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(LabelSelector { match_labels: Some(selector), match_expressions: None }),
            min_available: Some(IntOrString::Int(desired.in_force.replicas_per_shard)),
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
