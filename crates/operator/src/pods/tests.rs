use super::*;
use serde_json::{Value, json};

fn pod(name: &str, more: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": name,
            "uid": "pod-uid",
            "labels": { "controller-revision-hash": "demo-7", "keyslot.dev/shard": "2", "keyslot.dev/role": "replica" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "demo", "uid": "set-uid", "controller": true }
            ],
        },
        "spec": { "containers": [], "nodeName": "host-a" },
        "status": { "phase": "Running", "podIP": "10.1.2.3", "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    merge(&mut pod, more);
    serde_json::from_value(pod).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({ "status": { "phase": "Pending", "containerStatuses": [{
        "name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": reason, "message": message } },
        "lastState": { "terminated": { "exitCode": 1, "reason": "Error", "message": "Bad directive\n" } },
    }]}})
}

#[test]
fn a_running_pod_becomes_a_member_with_address_host_and_labels() {
    let member = member(&pod("demo-4", &json!({})), Some(&Uid::new("set-uid")));
    assert_eq!(member.ip, Some([10, 1, 2, 3].into()));
    assert_eq!(member.host, Some(HostName::new("host-a")));
    assert_eq!(member.labels, MemberLabels { shard: Some(2), role: Some(RoleLabel::Replica) });
    assert_eq!(member.revision.as_deref(), Some("demo-7"));
    assert!(member.ready && !member.terminating && member.trouble.is_none());
}

#[test]
fn a_pod_that_has_ended_has_no_address() {
    for phase in ["Failed", "Succeeded", "Pending"] {
        let member =
            member(&pod("demo-4", &json!({ "status": { "phase": phase } })), Some(&Uid::new("set-uid")));
        assert_eq!(member.ip, None, "{phase}");
    }
}

#[test]
fn a_pod_of_an_earlier_set_is_on_its_way_out() {
    assert!(member(&pod("demo-4", &json!({})), Some(&Uid::new("other-set"))).terminating);
    assert!(member(&pod("demo-4", &json!({})), None).terminating);
    let orphan = pod("demo-4", &json!({ "metadata": { "ownerReferences": [] } }));
    assert!(!member(&orphan, Some(&Uid::new("other-set"))).terminating);
    let deleted = pod("demo-4", &json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }));
    assert!(member(&deleted, Some(&Uid::new("set-uid"))).terminating);
}

#[test]
fn only_pods_of_the_set_are_members() {
    assert_eq!(member_name(&pod("demo-4", &json!({})), "demo"), Some(PodName::new("demo-4")));
    for name in ["demo-x", "demo-", "demo-04", "demo", "demo-4-5", "other-4"] {
        assert_eq!(member_name(&pod(name, &json!({})), "demo"), None, "{name}");
    }
    let of_job = json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "batch/v1", "kind": "Job", "name": "demo", "uid": "j", "controller": true }
    ]}});
    assert_eq!(member_name(&pod("demo-4", &of_job), "demo"), None);
}

#[test]
fn trouble_is_told_in_the_words_of_kubernetes() {
    let trouble = |more: &Value| member(&pod("demo-4", more), None).trouble;
    let unschedulable = json!({ "status": { "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" }
    ]}});
    assert_eq!(trouble(&unschedulable), Some(PodTrouble::Unschedulable("0/3 nodes".to_owned())));
    assert_eq!(
        trouble(&waiting("ImagePullBackOff", "no such image")),
        Some(PodTrouble::ImagePull("ImagePullBackOff: no such image".to_owned()))
    );
    assert_eq!(
        trouble(&waiting("CrashLoopBackOff", "")),
        Some(PodTrouble::CrashLoop { last: "Error, exit code 1: Bad directive".to_owned(), restarts: 4 })
    );
    assert_eq!(
        trouble(&waiting("CreateContainerConfigError", "no secret")),
        Some(PodTrouble::CannotStart("CreateContainerConfigError: no secret".to_owned()))
    );
    let evicted = json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": "low on memory" } });
    assert_eq!(trouble(&evicted), Some(PodTrouble::CannotStart("Evicted: low on memory".to_owned())));
}

#[test]
fn a_line_that_the_server_refuses_is_found_in_its_last_words() {
    let known = "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n\
                 >>> 'hz often'\nargument couldn't be parsed into an integer\n";
    // Redis 8.6.3.
    let unknown = "1:M 21 Nov 2026 18:19:50.471 * Running mode=cluster, port=6379.\n\
                   1:M 21 Nov 2026 18:19:50.471 # Unresolved Configuration(s) Detected:\n\
                   1:M 21 Nov 2026 18:19:50.471 # >>> 'no-such 1'\n\
                   1:M 21 Nov 2026 18:19:50.471 # Module Configuration detected without loadmodule directive or no \
                   ApplyConfig call: aborting\n";
    for (words, line, why) in [
        (known, "hz often", "argument couldn't be parsed into an integer"),
        (unknown, "no-such 1", "the server does not know it"),
    ] {
        let mut pod = pod("demo-4", &waiting("CrashLoopBackOff", ""));
        let status = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
        status.last_state.as_mut().unwrap().terminated.as_mut().unwrap().message = Some(words.to_owned());
        let refused = PodTrouble::ConfigRefused { line: line.to_owned(), why: why.to_owned() };
        assert_eq!(member(&pod, None).trouble, Some(refused));
    }
}

#[test]
fn a_pod_that_is_to_go_has_no_trouble() {
    let mut pod = pod("demo-4", &waiting("CrashLoopBackOff", ""));
    assert!(member(&pod, None).trouble.is_some());
    pod.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(member(&pod, None).trouble, None);
}

#[test]
fn ordinary_steps_of_a_start_are_no_trouble() {
    for reason in ["ContainerCreating", "PodInitializing"] {
        assert_eq!(member(&pod("demo-4", &waiting(reason, "")), None).trouble, None, "{reason}");
    }
}
