//! Is an object what its manifest says? Answered from the watch's copy, so that an unchanged object costs no request.
//!
//! Two questions. Has the manifest changed since it was applied (also by leaving something out)? A fingerprint in an
//! annotation tells. Did somebody change a field that the manifest sets? A comparison of those fields tells; what the
//! API server fills in and what others add is not ours to judge.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyslot_api::labels::APPLIED;
use keyslot_planner::Manifest;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::objects::rendered;

/// The manifest with its own fingerprint.
pub fn stamped(mut manifest: Manifest) -> Manifest {
    let fingerprint = fingerprint(&rendered(&manifest));
    let metadata: &mut ObjectMeta = match &mut manifest {
        Manifest::ConfigMap(object) => &mut object.metadata,
        Manifest::Secret(object) => &mut object.metadata,
        Manifest::Service(object) => &mut object.metadata,
        Manifest::StatefulSet(object) => &mut object.metadata,
        Manifest::PodDisruptionBudget(object) => &mut object.metadata,
    };
    metadata.annotations.get_or_insert_default().insert(APPLIED.to_owned(), fingerprint);
    manifest
}

/// Whether the object lacks anything that the (stamped) manifest sets.
pub fn differs(stamped: &Value, live: &Value) -> bool {
    !contains(live, stamped)
}

/// The contents of a ConfigMap or Secret count by their keys only: a fingerprint of a password could be guessed against,
/// and annotations are shown where contents are not.
fn fingerprint(manifest: &Value) -> String {
    let mut shown = manifest.clone();
    for contents in ["data", "stringData", "binaryData"] {
        if let Some(Value::Object(entries)) = shown.get_mut(contents) {
            entries.values_mut().for_each(|value| *value = Value::Null);
        }
    }
    hex::encode(&Sha256::digest(shown.to_string().as_bytes())[..8])
}

/// Every field that `wanted` has, `live` has with the same value. Lists must have the same length.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| live.get(name).is_some_and(|there| contains(there, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(there, value)| contains(there, value))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{Secret, Service, ServiceSpec};
    use serde_json::json;

    fn secret(password: &str) -> Manifest {
        let data = [("password".to_owned(), ByteString(password.into()))].into();
        Manifest::Secret(Secret { data: Some(data), ..Secret::default() })
    }

    #[test]
    fn what_the_api_server_or_others_add_is_no_difference() {
        let service = Service {
            spec: Some(ServiceSpec { cluster_ip: Some("None".to_owned()), ..ServiceSpec::default() }),
            ..Service::default()
        };
        let wanted = rendered(&stamped(Manifest::Service(service)));
        let mut live = wanted.clone();
        live["spec"]["sessionAffinity"] = json!("None");
        live["metadata"]["labels"] = json!({ "team": "shop" });
        assert!(!differs(&wanted, &live));
        live["spec"]["clusterIP"] = json!("10.0.0.1");
        assert!(differs(&wanted, &live));
    }

    #[test]
    fn leaving_something_out_changes_the_fingerprint() {
        let labelled = json!({ "metadata": { "labels": { "a": "1" } } });
        let bare = json!({ "metadata": { "labels": {} } });
        assert_ne!(fingerprint(&labelled), fingerprint(&bare));
    }

    #[test]
    fn a_fingerprint_says_nothing_about_a_password_and_a_changed_one_differs_all_the_same() {
        let (one, other) = (rendered(&stamped(secret("one"))), rendered(&stamped(secret("other"))));
        assert_eq!(one["metadata"]["annotations"][APPLIED], other["metadata"]["annotations"][APPLIED]);
        assert!(differs(&other, &one));
    }
}
