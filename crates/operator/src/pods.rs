//! From a pod as Kubernetes shows it to a member of the cluster.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use keyslot_api::labels;
use keyslot_planner::ids::{HostName, PodName, Uid};
use keyslot_planner::observed::{Member, MemberLabels, PodTrouble, RoleLabel, Unreachable};
use kube::ResourceExt;

/// Label that the StatefulSet controller gives each pod.
const REVISION: &str = "controller-revision-hash";

/// How many of a dead container's last lines are told.
const LAST_LINES: usize = 3;

/// The pod's name, if it is one that the cluster's StatefulSet makes: `<cluster>-<ordinal>`, made by no other
/// controller.
pub fn member_name(pod: &Pod, cluster: &str) -> Option<PodName> {
    let name = pod.metadata.name.as_deref()?;
    let ordinal = name.strip_prefix(cluster)?.strip_prefix('-')?;
    let of_set = controller(pod).is_none_or(|owner| owner.kind == "StatefulSet" && owner.name == cluster);
    let plain = ordinal == "0" || (ordinal.bytes().all(|b| b.is_ascii_digit()) && !ordinal.starts_with('0'));
    (of_set && plain && !ordinal.is_empty()).then(|| PodName::new(name))
}

/// The pod as a member whose node has not been asked yet. `set` is the StatefulSet of today: a pod of an earlier one
/// is on its way out, also before the garbage collector has come to it.
pub fn member(pod: &Pod, set: Option<&Uid>) -> Member {
    let status = pod.status.as_ref();
    let of_another_set = controller(pod).is_some_and(|owner| set.is_none_or(|set| set.as_str() != owner.uid));
    let runs = status.and_then(|s| s.phase.as_deref()) == Some("Running");
    let ip = status.and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
    Member {
        uid: Uid::new(pod.uid().unwrap_or_default()),
        // A pod that has ended keeps its address in its status while another pod may have got it.
        ip: ip.filter(|_| runs),
        host: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).map(HostName::new),
        zone: None,
        ready: is_true(pod, "Ready"),
        terminating: pod.metadata.deletion_timestamp.is_some() || of_another_set,
        revision: pod.labels().get(REVISION).cloned(),
        labels: MemberLabels {
            shard: pod.labels().get(labels::SHARD).and_then(|shard| shard.parse().ok()),
            role: match pod.labels().get(labels::ROLE).map(String::as_str) {
                Some(labels::ROLE_PRIMARY) => Some(RoleLabel::Primary),
                Some(labels::ROLE_REPLICA) => Some(RoleLabel::Replica),
                _ => None,
            },
        },
        trouble: trouble(pod),
        redis: Err(Unreachable::NoAddress),
    }
}

/// What tells one run of the pod's server container from the next.
pub fn container_run(pod: &Pod) -> Option<String> {
    container_statuses(pod).next().and_then(|status| status.container_id.clone())
}

fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true))
}

fn is_true(pod: &Pod, condition: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == condition && c.status == "True")
}

fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let main = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let init = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
    main.iter().chain(init)
}

/// Of a pod that is to go, nothing is trouble any more.
fn trouble(pod: &Pod) -> Option<PodTrouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    unschedulable(pod).or_else(|| container_statuses(pod).find_map(container_trouble)).or_else(|| ended(pod))
}

fn unschedulable(pod: &Pod) -> Option<PodTrouble> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let condition = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    if condition.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    Some(PodTrouble::Unschedulable(condition.message.clone().unwrap_or_default()))
}

fn container_trouble(status: &ContainerStatus) -> Option<PodTrouble> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let words = || match waiting.message.as_deref() {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    };
    match reason {
        "CrashLoopBackOff" => refused_line(status).or_else(|| {
            let restarts = u32::try_from(status.restart_count).ok()?;
            Some(PodTrouble::CrashLoop { last: last_end(status), restarts })
        }),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(PodTrouble::ImagePull(words())),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(PodTrouble::CannotStart(words())),
        // Ordinary steps of a start: ContainerCreating, PodInitializing.
        _ => None,
    }
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.last_state.as_ref()?.terminated.as_ref()
}

/// A server that does not like its configuration shows the line in `>>> '…'`, and below it what is wrong. Redis since 8.0
/// takes a directive that it does not know for one of a module.
fn refused_line(status: &ContainerStatus) -> Option<PodTrouble> {
    let message = terminated(status)?.message.as_deref()?;
    let (known, error) = match message.split_once("FATAL CONFIG FILE ERROR") {
        Some((_, error)) => (true, error),
        None => (false, message.split_once("Unresolved Configuration(s) Detected")?.1),
    };
    let mut lines = error.lines().skip_while(|line| !line.contains(">>> "));
    let line = lines.next()?.split_once(">>> ")?.1.trim().trim_matches('\'').to_owned();
    let why = if known { lines.next().unwrap_or_default().trim() } else { "the server does not know it" };
    Some(PodTrouble::ConfigRefused { line, why: why.to_owned() })
}

fn last_end(status: &ContainerStatus) -> String {
    let Some(end) = terminated(status) else {
        return "it ended".to_owned();
    };
    let reason = end.reason.as_deref().unwrap_or("Error");
    let words = format!("{reason}, exit code {}", end.exit_code);
    let said: Vec<&str> = end.message.iter().flat_map(|message| message.lines()).map(str::trim).collect();
    let said: Vec<&str> = said.into_iter().filter(|line| !line.is_empty()).collect();
    if said.is_empty() {
        return words;
    }
    format!("{words}: {}", said[said.len().saturating_sub(LAST_LINES)..].join(" / "))
}

/// A pod that was evicted or lost with its host is done for; its StatefulSet replaces it.
fn ended(pod: &Pod) -> Option<PodTrouble> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = status.reason.as_deref().unwrap_or("Failed");
    let message = status.message.as_deref().unwrap_or("the pod has ended");
    Some(PodTrouble::CannotStart(format!("{reason}: {message}")))
}

#[cfg(test)]
mod tests;
