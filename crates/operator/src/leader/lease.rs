//! Reading and writing the Lease object.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use keyslot_api::labels::FIELD_MANAGER;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

/// Why the Lease was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time: it may have been written or not.
    #[error("the API server did not answer in time")]
    NoAnswer,
    /// The API server's refusal; a conflict means that another process was faster.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// The holder, unless the Lease was given free.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long the Lease keeps others away from now on if nobody renews it. Its time stamps are not read: they come from
/// another machine's clock.
pub fn lives_on(lease: Option<&Lease>) -> Duration {
    let held = lease.filter(|lease| holder(lease).is_some()).and_then(|lease| lease.spec.as_ref());
    let seconds = held.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Whether both are the same version of the same object.
pub fn same_version(a: Option<&Lease>, b: Option<&Lease>) -> bool {
    let version =
        |lease: Option<&Lease>| lease.map(|l| (l.metadata.uid.clone(), l.metadata.resource_version.clone()));
    version(a) == version(b)
}

/// Writes holder and time, on exactly the version that was seen.
pub async fn write(
    api: &Api<Lease>,
    name: &str,
    seen: Option<&Lease>,
    identity: &str,
    duration: Duration,
    now: Timestamp,
) -> Result<Lease, Error> {
    let now = MicroTime(now);
    let same_holder = seen.and_then(holder) == Some(identity);
    let before = seen.and_then(|lease| lease.spec.as_ref());
    let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    let acquired = before.and_then(|spec| spec.acquire_time.clone()).filter(|_| same_holder);
    let spec = json!({
        "holderIdentity": identity,
        "leaseDurationSeconds": duration.as_secs(),
        "acquireTime": acquired.unwrap_or_else(|| now.clone()),
        "renewTime": now,
        "leaseTransitions": transitions.saturating_add(i32::from(seen.is_some() && !same_holder)),
    });
    match seen {
        None => {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
                spec: serde_json::from_value(spec).map_err(kube::Error::SerdeError)?,
            };
            Ok(api.create(&post(), &lease).await?)
        }
        Some(seen) => {
            let patch =
                json!({ "metadata": { "resourceVersion": seen.metadata.resource_version }, "spec": spec });
            Ok(api.patch(name, &patch_params(), &Patch::Merge(&patch)).await?)
        }
    }
}

/// Gives the Lease free, if it is still the version that we wrote.
pub async fn vacate(api: &Api<Lease>, name: &str, written: &Lease) -> Result<(), Error> {
    let patch = json!({
        "metadata": { "resourceVersion": written.metadata.resource_version },
        "spec": { "holderIdentity": null },
    });
    api.patch(name, &patch_params(), &Patch::Merge(&patch)).await?;
    Ok(())
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;

    fn lease(version: &str, holder: Option<&str>) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_missing_or_vacated_lease_is_free_at_once() {
        assert_eq!(lives_on(None), Duration::ZERO);
        assert_eq!(lives_on(Some(&lease("1", None))), Duration::ZERO);
        assert_eq!(lives_on(Some(&lease("1", Some("")))), Duration::ZERO);
    }

    #[test]
    fn a_held_lease_keeps_others_away_for_its_whole_duration() {
        assert_eq!(lives_on(Some(&lease("1", Some("other")))), Duration::from_secs(15));
    }

    #[test]
    fn only_another_version_is_a_renewal() {
        assert!(same_version(Some(&lease("1", Some("x"))), Some(&lease("1", Some("x")))));
        assert!(!same_version(Some(&lease("1", Some("x"))), Some(&lease("2", Some("x")))));
        assert!(!same_version(None, Some(&lease("2", None))));
    }
}
