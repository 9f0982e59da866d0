//! StatefulSet `<name>`: a pool of identical nodes. Nothing derives a role from an ordinal.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyslot_api::v1alpha1::{Retention, RetentionPolicy, Storage};

use super::Manifest;
use super::meta::Owner;
use super::pod::pod_template;
use super::volumes::DATA_VOLUME;
use crate::desired::Desired;

/// The StatefulSet with the pods of what is in force. `replicas` is the caller's: it may be more than what the spec
/// asks for, and never less than what holds data.
///
/// All pods start at once, since any of them may be needed to heal the others; and none is replaced but by the
/// operator, which knows what each of them holds.
pub fn stateful_set(desired: &Desired, replicas: u32) -> Manifest {
    let owner = Owner::from(desired);
    let storage = desired.in_force.storage.as_ref();
    Manifest::StatefulSet(StatefulSet {
        metadata: owner.metadata(desired.name.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
            service_name: Some(desired.name.clone()),
            selector: owner.label_selector(),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            template: pod_template(desired),
            volume_claim_templates: storage.map(|storage| vec![claim(owner, storage)]),
            persistent_volume_claim_retention_policy: storage.map(|_| retention(desired.retention)),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// No owner and the cluster's label: a claim that is kept must be found again by a later resource of the same name.
fn claim(owner: Owner<'_>, storage: &Storage) -> PersistentVolumeClaim {
    let size = [("storage".to_owned(), storage.size.clone())].into();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(owner.labels()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(size), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// What a StatefulSet says of volumes that are no longer used. `None` without volumes, and where Kubernetes is too old
/// to know the field (before 1.27).
pub fn retention_of(set: &StatefulSet) -> Option<RetentionPolicy> {
    let policy = set.spec.as_ref()?.persistent_volume_claim_retention_policy.as_ref()?;
    let read = |word: &Option<String>| match word.as_deref() {
        Some("Delete") => Retention::Delete,
        _ => Retention::Retain,
    };
    Some(RetentionPolicy { on_delete: read(&policy.when_deleted) })
}

/// The policy in the words of a StatefulSet.
pub fn retention(policy: RetentionPolicy) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let word = |retention| match retention {
        Retention::Retain => Some("Retain".to_owned()),
        Retention::Delete => Some("Delete".to_owned()),
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: word(policy.on_delete),
        // Whoever lowers `replicas` by hand must not delete volumes that own slots.
        when_scaled: word(Retention::Retain),
    }
}
