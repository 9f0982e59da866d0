//! The pod template: one container with a server, as little right as it needs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, Lifecycle, LifecycleHandler,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyslot_api::labels;
use keyslot_api::v1alpha1::{Persistence, RedisClusterSpec};

use super::meta::Owner;
use super::services::{BUS_PORT_NAME, REDIS_PORT_NAME};
use super::volumes::{mounts, volumes};
use crate::command::{BUS_PORT, REDIS_PORT};
use crate::config::CONFIG_DIR;
use crate::desired::Desired;
use crate::desired::usable::is_reserved;

/// User and group of the server, as in the official images.
const REDIS_USER: i64 = 999;

/// Longer than `shutdown-timeout` (10 s) with room for the last write of the append-only file.
const GRACE_SECONDS: i64 = 60;
/// With snapshots the server writes one more before it ends, whose size nobody knows; killed half-way, everything since
/// the last one is lost. A pod whose server has ended is gone at once whatever this is.
const GRACE_WITH_SNAPSHOT_SECONDS: i64 = 600;

/// Everything about a pod.
pub(super) fn pod_template(desired: &Desired) -> PodTemplateSpec {
    let owner = Owner::from(desired);
    let spec = &desired.in_force;
    let mut pod_labels = unreserved(&spec.pod_labels);
    pod_labels.extend(owner.labels());
    pod_labels.extend(owner.selector());
    let mut annotations = unreserved(&spec.pod_annotations);
    annotations.insert(labels::IN_FORCE.to_owned(), super::in_force(desired));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(desired)),
    }
}

fn unreserved(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.iter().filter(|(key, _)| !is_reserved(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pod_spec(desired: &Desired) -> PodSpec {
    let spec = &desired.in_force;
    PodSpec {
        affinity: spec.affinity.clone(),
        tolerations: non_empty(&spec.tolerations),
        node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
        topology_spread_constraints: non_empty(&spread(desired)),
        priority_class_name: spec.priority_class_name.clone(),
        image_pull_secrets: non_empty(&spec.image_pull_secrets),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace_seconds(spec)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(REDIS_USER),
            run_as_group: Some(REDIS_USER),
            fs_group: Some(REDIS_USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(desired)],
        volumes: Some(volumes(desired)),
        ..PodSpec::default()
    }
}

fn grace_seconds(spec: &RedisClusterSpec) -> i64 {
    match spec.storage.as_ref().map(|storage| storage.persistence) {
        Some(Persistence::Rdb) => GRACE_WITH_SNAPSHOT_SECONDS,
        Some(Persistence::Aof) | None => GRACE_SECONDS,
    }
}

/// Evenly over hosts and zones where possible: a cluster that is badly spread is better than none. The user's own
/// constraints replace this, also by an empty list; one that does not say which pods it counts means these, for
/// Kubernetes would count none.
fn spread(desired: &Desired) -> Vec<TopologySpreadConstraint> {
    let these = || Some(Owner::from(desired).label_selector());
    let softly_over = |topology_key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    let own = || vec![softly_over("kubernetes.io/hostname"), softly_over("topology.kubernetes.io/zone")];
    let mut constraints = desired.in_force.topology_spread_constraints.clone().unwrap_or_else(own);
    for constraint in &mut constraints {
        constraint.label_selector = constraint.label_selector.take().or_else(these);
    }
    constraints
}

fn container(desired: &Desired) -> Container {
    let spec = &desired.in_force;
    Container {
        name: "redis".to_owned(),
        image: Some(spec.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(script("start.sh")),
        env: Some(environment(desired)),
        ports: Some(vec![
            container_port(REDIS_PORT_NAME, REDIS_PORT),
            container_port(BUS_PORT_NAME, BUS_PORT),
        ]),
        resources: spec.resources.as_ref().map(|resources| ResourceRequirements {
            requests: (!resources.requests.is_empty()).then(|| resources.requests.clone()),
            limits: (!resources.limits.is_empty()).then(|| resources.limits.clone()),
            claims: None,
        }),
        startup_probe: Some(startup_probe()),
        readiness_probe: Some(readiness_probe()),
        liveness_probe: Some(liveness_probe()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(exec(script("stop.sh"))),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts()),
        // The last words of a server that does not start get into the pod's status, and from there to people.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn script(name: &str) -> Vec<String> {
    vec!["sh".to_owned(), format!("{CONFIG_DIR}/{name}")]
}

/// What `start.sh` needs. No secret: the environment of a process can be read by whoever may look at the pod.
fn environment(desired: &Desired) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.to_owned(), api_version: None }),
            ..EnvVarSource::default()
        }),
    };
    let text = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_IP", "status.podIP"),
        text("SERVICE", &desired.name),
        text("CLUSTER_DOMAIN", &desired.cluster_domain),
    ]
}

fn container_port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn exec(command: Vec<String>) -> ExecAction {
    ExecAction { command: Some(command) }
}

/// Any answer counts, also LOADING and NOAUTH: redis-cli fails only when there is none. It ends itself before the
/// kubelet would leave it behind.
fn answers() -> ExecAction {
    exec(["timeout", "-s", "KILL", "4", "redis-cli", "ping"].map(ToOwned::to_owned).into())
}

/// Until the server listens, which is before it loads its data; half an hour, for whatever may have to hold it back.
fn startup_probe() -> Probe {
    probe(answers(), 1, 1800)
}

/// No initial delay. Seldom, since each probe is a process in the container: a host with many pods would spend its time
/// on probes. Whoever has to know sooner, the operator, holds a connection.
fn readiness_probe() -> Probe {
    probe(exec(script("ready.sh")), 5, 2)
}

/// Two minutes without any answer: longer than any command, disk or host makes a healthy server wait. Whoever has to
/// act faster is the operator, which can promote a replica; a killed server only comes back and loads.
fn liveness_probe() -> Probe {
    probe(answers(), 30, 4)
}

fn probe(exec: ExecAction, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        exec: Some(exec),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn non_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
