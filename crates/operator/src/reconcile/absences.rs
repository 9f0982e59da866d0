//! Why pods are not there that the StatefulSet should have made: its controller tells it in Events alone, and a pod that
//! has lost our label is not seen at all.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use keyslot_api::labels::CLUSTER;
use keyslot_planner::ids::PodName;
use keyslot_planner::observed::Member;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::nodes::Nodes;

/// Pods of a StatefulSet that is younger are on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(5);

/// So many pods are looked for by name in one pass: they mostly lack the same thing.
const MOST: usize = 4;

/// What can be told of the pods that are not among `members`. Trouble with the API server costs words and nothing else.
pub async fn absences<N: Nodes>(
    set: &StatefulSet,
    members: &BTreeMap<PodName, Member>,
    ctx: &Context<N>,
) -> BTreeMap<PodName, String> {
    let (cluster, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
    let absent = absent(set, members);
    if absent.is_empty() || age(set) < ON_THEIR_WAY {
        return BTreeMap::new();
    }
    let api = &Api::<Pod>::namespaced(ctx.client.clone(), &namespace);
    let looks = absent.into_iter().take(MOST).map(|pod| async move {
        let there = api.get_metadata_opt(pod.as_str()).await.ok()?;
        Some((pod, there.map(|there| there.metadata)))
    });
    let found: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
    let nobody = found.iter().any(|(_, there)| there.is_none());
    let refusal = if nobody { refusal(set, &namespace, ctx).await } else { None };
    let words = |there: Option<ObjectMeta>| match there {
        Some(there) => lacks_label(&there, &cluster),
        None => refusal.as_ref().map(|words| format!("Kubernetes does not make it: {words}")),
    };
    found.into_iter().filter_map(|(pod, there)| Some((pod, words(there)?))).collect()
}

fn absent(set: &StatefulSet, members: &BTreeMap<PodName, Member>) -> Vec<PodName> {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    let pods = (0..replicas).map(|ordinal| PodName::new(format!("{}-{ordinal}", set.name_any())));
    pods.filter(|pod| !members.contains_key(pod)).collect()
}

fn age(set: &StatefulSet) -> Duration {
    let born = set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let age = born.and_then(|born| Duration::try_from(Timestamp::now().duration_since(born)).ok());
    age.unwrap_or_default()
}

fn lacks_label(pod: &ObjectMeta, cluster: &str) -> Option<String> {
    let label = pod.labels.as_ref().and_then(|labels| labels.get(CLUSTER));
    (label.map(String::as_str) != Some(cluster))
        .then(|| format!("it is there without the label {CLUSTER}={cluster}: put the label back"))
}

/// The newest refusal that the StatefulSet's controller was given.
async fn refusal<N: Nodes>(set: &StatefulSet, namespace: &str, ctx: &Context<N>) -> Option<String> {
    let of_set = format!("reason=FailedCreate,regarding.uid={}", set.uid()?);
    let api = Api::<Event>::namespaced(ctx.client.clone(), namespace);
    let events = api.list(&ListParams::default().fields(&of_set)).await.ok()?;
    let told = |event: &Event| event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    events.items.into_iter().max_by_key(told)?.note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_has_lost_its_label_is_told_apart_from_one_that_is_on_its_way() {
        let with = |label: Option<&str>| ObjectMeta {
            labels: label.map(|name| [(CLUSTER.to_owned(), name.to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(lacks_label(&with(Some("demo")), "demo"), None);
        for label in [None, Some("other")] {
            assert!(lacks_label(&with(label), "demo").is_some_and(|words| words.contains("=demo")));
        }
    }
}
