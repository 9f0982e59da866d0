//! Whose object is it that has a name we need? What we did not create is never touched.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use keyslot_api::labels;
use keyslot_planner::ids::Uid;

/// Who made an object, judged from its metadata and the uid of our resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Made for this very resource.
    Own,
    /// Made for an earlier resource of the same name: the garbage collector takes it away. Waiting is enough.
    Leftover,
    /// Made by somebody else: a person has to decide.
    Foreign,
}

/// Judges an object by its owner references. Labels prove nothing: anybody can copy them.
pub fn ownership(metadata: &ObjectMeta, owner: &Uid, owner_name: &str) -> Ownership {
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    if references.iter().any(|reference| reference.uid == owner.as_str()) {
        return Ownership::Own;
    }
    // Other operators have resources of this kind, too.
    let of_namesake = |reference: &OwnerReference| {
        let group = reference.api_version.split('/').next();
        group == Some(labels::GROUP) && reference.kind == "RedisCluster" && reference.name == owner_name
    };
    if references.iter().any(of_namesake) { Ownership::Leftover } else { Ownership::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn owned_by(kind: &str, name: &str, uid: &str) -> ObjectMeta {
        let reference = OwnerReference {
            api_version: "keyslot.dev/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        };
        ObjectMeta { owner_references: Some(vec![reference]), ..ObjectMeta::default() }
    }

    #[test]
    fn only_the_uid_makes_an_object_ours() {
        let uid = Uid::new("u-2");
        assert_eq!(ownership(&owned_by("RedisCluster", "demo", "u-2"), &uid, "demo"), Ownership::Own);
        assert_eq!(ownership(&owned_by("RedisCluster", "demo", "u-1"), &uid, "demo"), Ownership::Leftover);
        assert_eq!(ownership(&owned_by("RedisCluster", "other", "u-1"), &uid, "demo"), Ownership::Foreign);
        assert_eq!(ownership(&owned_by("Deployment", "demo", "u-1"), &uid, "demo"), Ownership::Foreign);
    }

    #[test]
    fn another_operators_resource_of_the_same_kind_and_name_is_a_stranger() {
        let mut metadata = owned_by("RedisCluster", "demo", "u-1");
        for reference in metadata.owner_references.iter_mut().flatten() {
            reference.api_version = "redis.redis.opstreelabs.in/v1beta2".to_owned();
        }
        assert_eq!(ownership(&metadata, &Uid::new("u-2"), "demo"), Ownership::Foreign);
    }

    #[test]
    fn an_object_with_our_labels_and_no_owner_is_foreign() {
        let metadata = ObjectMeta {
            labels: Some([(keyslot_api::labels::CLUSTER.to_owned(), "demo".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(ownership(&metadata, &Uid::new("u-2"), "demo"), Ownership::Foreign);
    }
}
