//! Tells people: the status, Events on transitions, and the gauges of the cluster.

use jiff::Timestamp;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::labels::FIELD_MANAGER;
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterStatus};
use keyslot_planner::Desired;
use keyslot_planner::status::{StatusInputs, Transition, is_worth_writing, served, status, transitions};
use kube::Resource;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::events::{Event, EventType, Recorder};
use serde_json::{Value, json};
use tracing::warn;

use super::Error;
use crate::cluster::{ClusterRef, Guarded};
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects;

/// The API server's limit for the text of an Event.
const LONGEST_NOTE: usize = 1024;

/// Writes the status that follows from the last passes of both loops, if it is worth a write. One writer at a time.
pub async fn report<N: Nodes>(
    cluster: &RedisCluster,
    desired: &Desired,
    ctx: &Context<N>,
) -> Result<(), Error> {
    let memory = ctx.memory.of(cluster.meta());
    let mut reported = memory.reported.lock().await;
    let facts = memory.facts();
    if reported.is_unknown() {
        match live_status(cluster.meta(), ctx).await? {
            Some(status) => reported.found(status),
            None => return Ok(()),
        }
    }
    let before = reported.present(cluster);
    let present = RedisCluster { status: before.clone(), ..cluster.clone() };
    let after = status(StatusInputs {
        cluster: &present,
        desired,
        topology: facts.topology.as_deref().map(|pass| (&pass.observed, &pass.plan, &pass.outcome)),
        settings: facts.settings.as_deref(),
        now: Timestamp::now(),
    });
    let (slots, nodes) = facts
        .topology
        .as_deref()
        .map_or((0, 0), |pass| (served(&pass.observed).len(), pass.observed.nodes().count()));
    ctx.metrics.cluster(&ClusterRef::of(cluster.meta()), &after, slots, nodes);
    if !is_worth_writing(before.as_ref(), &after, reported.since_write()) {
        return Ok(());
    }
    if !ctx.leadership.is_held() {
        return Err(Error::NotLeader);
    }
    write(cluster.meta(), &after, ctx).await?;
    for transition in transitions(before.as_ref(), &after) {
        publish(cluster, transition, ctx).await;
    }
    reported.wrote(after);
    Ok(())
}

/// The status as the API server has it; `None` when the resource is gone. What this process has not looked at yet stays
/// as it is there: the watch of a new process may begin with an older copy.
async fn live_status<N: Nodes>(
    metadata: &ObjectMeta,
    ctx: &Context<N>,
) -> Result<Option<RedisClusterStatus>, Error> {
    let key = ClusterRef::of(metadata);
    let api = Api::<Guarded>::namespaced(ctx.client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await.map_err(|source| {
        Error::Report(objects::Error::Api { object: format!("RedisCluster/{}", key.name), source })
    })?;
    let same = found.filter(|found| found.meta().uid == metadata.uid);
    Ok(same.map(|found| found.0.ok().and_then(|cluster| cluster.status).unwrap_or_default()))
}

/// Server-side apply of the whole status. The uid keeps it from a re-created namesake.
async fn write<N: Nodes>(
    metadata: &ObjectMeta,
    status: &RedisClusterStatus,
    ctx: &Context<N>,
) -> Result<(), Error> {
    let key = ClusterRef::of(metadata);
    let patch = json!({
        "apiVersion": RedisCluster::api_version(&()),
        "kind": RedisCluster::kind(&()),
        "metadata": { "name": key.name, "uid": metadata.uid },
        "status": status,
    });
    patch_status(&key, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch), ctx).await
}

async fn patch_status<N: Nodes>(
    key: &ClusterRef,
    parameters: &PatchParams,
    patch: &Patch<Value>,
    ctx: &Context<N>,
) -> Result<(), Error> {
    // Guarded, since what comes back may be unreadable.
    let api = Api::<Guarded>::namespaced(ctx.client.clone(), &key.namespace);
    told(api.patch_status(&key.name, parameters, patch).await.map(drop), &key.name)
}

/// Whether there is nothing left to tell.
fn told(answer: Result<(), kube::Error>, name: &str) -> Result<(), Error> {
    match answer {
        Ok(()) => Ok(()),
        // The resource is gone: there is nobody to tell. A conflict may be another resource of its name, or only a busy
        // API server: the next pass knows.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => {
            Err(Error::Report(objects::Error::Api { object: format!("RedisCluster/{name}"), source }))
        }
    }
}

/// An Event that can't be published costs visibility and nothing else. Each gets a recorder of its own: a shared one
/// repeats its first note when reason and object are the same.
pub async fn publish<N: Nodes>(cluster: &RedisCluster, transition: Transition, ctx: &Context<N>) {
    let recorder = Recorder::new(ctx.client.clone(), ctx.reporter.clone());
    let reason = transition.reason.clone();
    let event = Event {
        type_: if transition.warning { EventType::Warning } else { EventType::Normal },
        action: "Reconcile".to_owned(),
        reason: transition.reason,
        note: Some(shortened(transition.note)),
        secondary: None,
    };
    let published = recorder.publish(&event, &cluster.object_ref(&())).await;
    if let Err(error) = published
        && !objects::namespace_goes(&error)
    {
        warn!(cluster = %ClusterRef::of(cluster.meta()), reason, error = objects::words(&error), "can't publish an event");
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8()));
        note.push('…');
    }
    note
}

/// Tells of a resource that this version can't read, once per version of the resource.
pub async fn report_undecodable<N: Nodes>(invalid: &InvalidObject, ctx: &Context<N>) -> Result<(), Error> {
    let metadata = &invalid.metadata;
    let key = ClusterRef::of(metadata);
    let memory = ctx.memory.of(metadata);
    let mut reported = memory.reported.lock().await;
    if reported.has_told_undecodable(metadata.generation) {
        return Ok(());
    }
    warn!(cluster = %key, error = invalid.error, "the resource can't be read");
    ctx.metrics.cluster(&key, &RedisClusterStatus::default(), 0, 0);
    let message = format!("this version of the operator can't read the resource: {}", invalid.error);
    let ready = json!({
        "type": ConditionType::Ready.as_str(),
        "status": "False",
        "reason": Reason::SpecUndecodable.as_str(),
        "message": shortened(message),
        "observedGeneration": metadata.generation,
        "lastTransitionTime": Timestamp::now().to_string(),
    });
    // A merge: who serves what was true when the resource could still be read. No other condition can be judged.
    let status = json!({ "observedGeneration": metadata.generation, "conditions": [ready] });
    let patch = json!({ "metadata": { "uid": metadata.uid }, "status": status });
    patch_status(&key, &objects::merge(), &Patch::Merge(patch), ctx).await?;
    reported.told_undecodable(metadata.generation);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_status_that_was_not_written_is_written_again() {
        let answer = |code, reason: &str| {
            let status = Status { code, reason: reason.to_owned(), ..Status::default() };
            told(Err(kube::Error::Api(Box::new(status))), "demo")
        };
        assert!(answer(409, "Conflict").is_err(), "nobody has the status yet");
        assert!(answer(404, "NotFound").is_ok(), "there is nobody to tell");
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("ä".repeat(600));
        assert!(cut.len() <= LONGEST_NOTE && cut.ends_with('…'));
    }
}
