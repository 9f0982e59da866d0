//! What must never be said to a node or to the API server, whatever the operator believes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::ByteString;
use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::observed::{RedisNode, Role};
use serde_json::Value;

/// What keeps data, or the way to it.
const KEPT: [&str; 5] =
    ["persistentvolumeclaims", "persistentvolumes", "secrets", "redisclusters", "namespaces"];

/// Why a request to the API server must not be sent. Remembers the passwords that go into Secrets; a request without a
/// body, or one that is no JSON, has none.
pub(super) fn forbidden_request(
    class: &str,
    body: &str,
    pods: u64,
    passwords: &mut BTreeSet<String>,
) -> Option<String> {
    let (verb, object) = class.split_once(' ').unwrap_or((class, ""));
    let kind = object.split('/').next()?;
    if verb == "delete" && KEPT.contains(&kind) {
        return Some("it keeps data, or the way to it".to_owned());
    }
    let json = serde_json::from_str::<Value>(body).unwrap_or_default();
    if kind == "secrets" {
        let data: BTreeMap<String, Option<ByteString>> = serde_json::from_value(json["data"].clone()).ok()?;
        let data = data.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        passwords.extend(self::passwords(&data));
        let users = data.get("users.acl").map(|value| String::from_utf8_lossy(&value.0));
        let is_plain = users.is_some_and(|users| users.contains(" >"));
        return is_plain.then(|| "a password in plain text".to_owned());
    }
    if object.split('/').count() == 2 && kind == "statefulsets" {
        let fewer = verb != "create" && json["spec"]["replicas"].as_u64().is_some_and(|wanted| wanted < pods);
        if fewer || json["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete" {
            return Some(format!("it takes some of {pods} pods away, or volumes with them"));
        }
    }
    passwords
        .iter()
        .any(|password| body.contains(password.as_str()))
        .then(|| "it tells a password".to_owned())
}

/// Why a pod must not be deleted: its node has keys that nobody follows, by what was answered last at these addresses.
pub(super) fn forbidden_death(
    class: &str,
    pods: &BTreeMap<String, IpAddr>,
    nodes: &BTreeMap<IpAddr, RedisNode>,
) -> Option<String> {
    let node = nodes.get(pods.get(class.strip_prefix("delete pods/")?)?)?;
    let follows =
        |other: &RedisNode| matches!(&other.role, Role::Replica { of, link_up: true, .. } if *of == node.id);
    let is_followed = pods.values().filter_map(|ip| nodes.get(ip)).any(follows);
    let is_last = node.is_primary() && node.holds_data() && !is_followed;
    is_last.then(|| format!("nobody follows {}, which has {} keys", node.id, node.keys))
}

/// The passwords in a Secret; what is shorter than a generated one may stand elsewhere by chance.
pub fn passwords(data: &BTreeMap<String, ByteString>) -> BTreeSet<String> {
    let is_secret = |key: &str| key.contains("password") || key.starts_with("user.");
    let texts = data.iter().filter(|(key, _)| is_secret(key));
    let texts = texts.filter_map(|(_, value)| String::from_utf8(value.0.clone()).ok());
    texts.filter(|text| text.len() >= 16).collect()
}

/// Why a command must not be said while these nodes are at these addresses; nobody knows who is at some.
pub(super) fn forbidden(
    on: &Target,
    command: &RedisCommand,
    at: &[(IpAddr, Option<RedisNode>)],
) -> Option<String> {
    let mut nodes = at.iter().filter_map(|(_, node)| node.as_ref());
    let node = nodes.clone().find(|node| node.id == on.node);
    let unknown = at.iter().find(|(_, node)| node.is_none()).map(|(ip, _)| ip);
    match command {
        RedisCommand::Forget(id) => {
            if let Some(ip) = unknown {
                return Some(format!("{id} may be at {ip}, where nobody answers"));
            }
            let there = nodes.find(|node| node.id == *id)?;
            Some(format!("{id} lives, or nobody knows better; it has {} slots", there.slots().len()))
        }
        RedisCommand::Replicate(of) => {
            let Some(node) = node else {
                return Some(format!("nobody knows what it would lose to follow {of}"));
            };
            let empties = node.is_primary() && (!node.slots().is_empty() || node.holds_data());
            empties.then(|| format!("it would lose its {} keys to follow {of}", node.keys))
        }
        RedisCommand::AddSlots(slots) => {
            if let Some(ip) = unknown {
                return Some(format!("{ip} may own some of {slots}, and nobody answers there"));
            }
            let owner = nodes.find(|node| !node.slots().intersection(slots).is_empty())?;
            Some(format!("{} owns some of {slots}", owner.id))
        }
        RedisCommand::Meet { ip, node } => {
            let is_it = |known: &RedisNode| known.id == *node;
            let known = at.iter().any(|(there, known)| there == ip && known.as_ref().is_some_and(is_it));
            (!known).then(|| format!("{node} is not at {ip}"))
        }
        RedisCommand::SetUser { tokens, .. } => {
            let plain = tokens.iter().any(|token| token.as_str().starts_with('>'));
            plain.then(|| "a password in plain text".to_owned())
        }
        RedisCommand::TakeOver => {
            if let Some(ip) = unknown {
                return Some(format!("{ip} may hold data, and nobody answers there"));
            }
            let holder = nodes.find(|node| node.holds_data())?;
            Some(format!("{} holds data, which may not have reached the replica", holder.id))
        }
        RedisCommand::SetConfigEpoch(_)
        | RedisCommand::SetConfig(_)
        | RedisCommand::SetReplicationPassword(_)
        | RedisCommand::DeleteUser(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyslot_planner::acl::AclToken;
    use keyslot_planner::ids::{NodeId, PodName, RunId};
    use keyslot_planner::observed::{Engine, EngineKind};
    use keyslot_planner::slots::SlotSet;

    use super::*;

    fn ip(number: u8) -> IpAddr {
        [10, 88, 0, number].into()
    }

    fn id(number: u8) -> NodeId {
        format!("{number:040x}").parse().unwrap()
    }

    /// A primary with this share of two.
    fn primary(number: u8, slots: SlotSet, keys: u64) -> RedisNode {
        let role = Role::Primary { slots, migrating: BTreeMap::new(), importing: BTreeMap::new(), offset: 0 };
        RedisNode {
            id: id(number),
            run_id: RunId::new("r"),
            engine: Engine { kind: EngineKind::Redis, version: "7.0.15".to_owned() },
            role,
            config_epoch: 1,
            current_epoch: 1,
            cluster_ok: true,
            keys,
            libraries: 0,
            memory_bytes: 0,
            node_timeout: Duration::from_secs(5),
            maxmemory: 0,
            peers: BTreeMap::new(),
        }
    }

    #[test]
    fn what_loses_data_is_forbidden_and_what_forms_a_cluster_is_not() {
        let nodes = [
            (ip(1), Some(primary(1, SlotSet::share(0, 2), 5))),
            (ip(2), Some(primary(2, SlotSet::empty(), 0))),
            (ip(3), Some(primary(3, SlotSet::empty(), 7))),
        ];
        let said_to = |number, command| {
            let on = Target { pod: PodName::new("demo-0"), ip: ip(number), node: id(number) };
            forbidden(&on, &command, &nodes).is_some()
        };
        let meet = |at, number| RedisCommand::Meet { ip: ip(at), node: id(number) };
        let user = |token: &str| {
            let tokens = vec![AclToken::parse(token).unwrap()];
            RedisCommand::SetUser { name: "app".to_owned(), tokens, end_sessions: false }
        };
        assert!(said_to(2, RedisCommand::Forget(id(1))), "it lives");
        assert!(!said_to(2, RedisCommand::Forget(id(9))), "nobody is there");
        let on = Target { pod: PodName::new("demo-0"), ip: ip(2), node: id(2) };
        let silent = [nodes.to_vec(), vec![(ip(4), None)]].concat();
        assert!(forbidden(&on, &RedisCommand::Forget(id(9)), &silent).is_some(), "it may be the silent one");
        assert!(said_to(1, RedisCommand::Replicate(id(2))), "it owns slots");
        assert!(said_to(3, RedisCommand::Replicate(id(1))), "it has keys");
        assert!(!said_to(2, RedisCommand::Replicate(id(1))));
        assert!(said_to(2, RedisCommand::AddSlots(SlotSet::share(0, 2))), "they have an owner");
        assert!(!said_to(2, RedisCommand::AddSlots(SlotSet::share(1, 2))));
        assert!(said_to(1, meet(9, 9)), "a stranger");
        assert!(said_to(1, meet(3, 2)), "somebody else is there");
        assert!(!said_to(1, meet(2, 2)));
        assert!(said_to(2, RedisCommand::TakeOver), "there is data");
        assert!(said_to(1, user(">in-plain-text")));
        assert!(!said_to(1, user("+get")));
    }

    #[test]
    fn the_pod_of_keys_that_nobody_follows_is_not_deleted() {
        let role = Role::Replica { of: id(1), offset: 7, link_up: true, source: None };
        let replica = RedisNode { role, ..primary(2, SlotSet::empty(), 5) };
        let names = ["demo-0", "demo-1", "demo-2"].map(str::to_owned);
        let pods: BTreeMap<String, IpAddr> = names.into_iter().zip([ip(1), ip(2), ip(3)]).collect();
        let mut nodes: BTreeMap<IpAddr, RedisNode> =
            [(ip(1), primary(1, SlotSet::share(0, 2), 5)), (ip(2), replica)].into();
        let is_forbidden =
            |pod: &str, nodes: &_| forbidden_death(&format!("delete pods/{pod}"), &pods, nodes).is_some();
        assert!(
            !is_forbidden("demo-0", &nodes)
                && !is_forbidden("demo-1", &nodes)
                && !is_forbidden("demo-2", &nodes)
        );
        let Some(Role::Replica { link_up, .. }) = nodes.get_mut(&ip(2)).map(|node| &mut node.role) else {
            panic!()
        };
        *link_up = false;
        assert!(is_forbidden("demo-0", &nodes) && !is_forbidden("demo-1", &nodes));
        assert!(
            !is_forbidden("demo-0", &[(ip(1), primary(1, SlotSet::share(0, 2), 0))].into()),
            "it is empty"
        );
    }

    #[test]
    fn passwords_belong_into_secrets_and_what_keeps_data_is_not_deleted() {
        let mut passwords = BTreeSet::new();
        let mut why = |class: &str, body: &str| forbidden_request(class, body, 6, &mut passwords).is_some();
        // `secret-of-16-letters` as Kubernetes writes it.
        let secret = r#"{"data":{"operator-password":"c2VjcmV0LW9mLTE2LWxldHRlcnM="}}"#;
        assert!(!why("create secrets/demo-system", secret));
        assert!(why("patch configmaps/demo-acl", r#"{"data":{"users.acl":"user a >secret-of-16-letters"}}"#));
        assert!(!why("patch configmaps/demo-acl", r#"{"data":{"users.acl":"user a #ab12"}}"#));
        assert!(why("delete persistentvolumeclaims/data-demo-0", ""));
        assert!(!why("delete pods/demo-0", ""));
        assert!(why("POST", r#"{"note":"secret-of-16-letters"}"#), "an Event");
        // `user a >x`, `user a #x`.
        assert!(why("patch secrets/demo-acl", r#"{"data":{"users.acl":"dXNlciBhID54"}}"#));
        assert!(!why("patch secrets/demo-acl", r#"{"data":{"users.acl":"dXNlciBhICN4"}}"#));
        let set = |replicas: u32| format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        assert!(why("patch statefulsets/demo", &set(5)), "there are 6 pods");
        assert!(!why("patch statefulsets/demo", &set(6)));
        assert!(!why("create statefulsets/demo", &set(4)), "of a resource before");
    }
}
