//! Reading and writing the Lease object.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch};
use serde_json::{Value, json};

use crate::objects::{merge, post};

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

impl Error {
    /// Another process wrote first.
    pub fn is_lost_race(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists())
    }
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

/// The spec of a Lease that `identity` holds from `now` on.
pub fn holding(seen: Option<&Lease>, identity: &str, duration: Duration, now: Timestamp) -> Value {
    let now = MicroTime(now);
    let same_holder = seen.and_then(holder) == Some(identity);
    let before = seen.and_then(|lease| lease.spec.as_ref());
    let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    let acquired = before.and_then(|spec| spec.acquire_time.clone()).filter(|_| same_holder);
    json!({
        "holderIdentity": identity,
        "leaseDurationSeconds": duration.as_secs(),
        "acquireTime": acquired.unwrap_or_else(|| now.clone()),
        "renewTime": now,
        "leaseTransitions": transitions.saturating_add(i32::from(seen.is_some() && !same_holder)),
    })
}

/// Writes the spec, on exactly the version that was seen.
pub async fn write(api: &Api<Lease>, name: &str, seen: Option<&Lease>, spec: &Value) -> Result<Lease, Error> {
    let Some(seen) = seen else {
        let lease = json!({ "metadata": { "name": name }, "spec": spec });
        let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        return Ok(api.create(&post(), &lease).await?);
    };
    let patch = json!({ "metadata": { "resourceVersion": seen.metadata.resource_version }, "spec": spec });
    Ok(api.patch(name, &merge(), &Patch::Merge(&patch)).await?)
}

/// Gives the Lease free, if it is still the version that we wrote.
pub async fn vacate(api: &Api<Lease>, name: &str, written: &Lease) -> Result<(), Error> {
    let patch = json!({
        "metadata": { "resourceVersion": written.metadata.resource_version },
        "spec": { "holderIdentity": null },
    });
    api.patch(name, &merge(), &Patch::Merge(&patch)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;

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
    fn a_renewal_keeps_the_time_of_acquisition_and_a_change_of_holder_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut held = lease("1", Some("me"));
        if let Some(spec) = &mut held.spec {
            spec.acquire_time = Some(MicroTime(at(10)));
            spec.lease_transitions = Some(2);
        }
        let renewed = holding(Some(&held), "me", Duration::from_secs(15), at(20));
        assert_eq!(renewed["acquireTime"], json!(MicroTime(at(10))));
        assert_eq!(renewed["leaseTransitions"], json!(2));
        let taken = holding(Some(&held), "you", Duration::from_secs(15), at(20));
        assert_eq!(taken["acquireTime"], json!(MicroTime(at(20))));
        assert_eq!(taken["leaseTransitions"], json!(3));
    }

    #[test]
    fn only_another_version_is_a_renewal() {
        assert!(same_version(Some(&lease("1", Some("x"))), Some(&lease("1", Some("x")))));
        assert!(!same_version(Some(&lease("1", Some("x"))), Some(&lease("2", Some("x")))));
        assert!(!same_version(None, Some(&lease("2", None))));
    }
}
