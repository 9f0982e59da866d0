//! What must never be said to a node, whatever the operator believes.

use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::observed::RedisNode;

/// Why a command must not be said while the nodes are like this.
pub(super) fn forbidden(on: &Target, command: &RedisCommand, nodes: &[RedisNode]) -> Option<String> {
    let node = nodes.iter().find(|node| node.id == on.node);
    match command {
        RedisCommand::Forget(id) => {
            let there = nodes.iter().find(|node| node.id == *id)?;
            Some(format!("{id} is a living node with {} slots", there.slots().len()))
        }
        RedisCommand::Replicate(of) => {
            let node = node?;
            let empties = node.is_primary() && (!node.slots().is_empty() || node.holds_data());
            empties.then(|| format!("it would lose its {} keys to follow {of}", node.keys))
        }
        RedisCommand::AddSlots(slots) => {
            let owner = nodes.iter().find(|node| !node.slots().intersection(slots).is_empty())?;
            Some(format!("{} owns some of {slots}", owner.id))
        }
        RedisCommand::Meet { ip, node } => {
            let stranger = nodes.iter().all(|known| known.id != *node);
            stranger.then(|| format!("nobody knows who is at {ip}"))
        }
        RedisCommand::SetUser { tokens, .. } => {
            let plain = tokens.iter().any(|token| token.as_str().starts_with('>'));
            plain.then(|| "a password in plain text".to_owned())
        }
        RedisCommand::SetConfigEpoch(_) | RedisCommand::SetConfig(_) | RedisCommand::DeleteUser(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::time::Duration;

    use keyslot_planner::acl::AclToken;
    use keyslot_planner::ids::{NodeId, PodName, RunId};
    use keyslot_planner::observed::{Engine, EngineKind, Role};
    use keyslot_planner::slots::SlotSet;

    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 88, 0, 10));

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
            primary(1, SlotSet::share(0, 2), 5),
            primary(2, SlotSet::empty(), 0),
            primary(3, SlotSet::empty(), 7),
        ];
        let said_to = |number, command| {
            let on = Target { pod: PodName::new("demo-0"), ip: IP, node: id(number) };
            forbidden(&on, &command, &nodes).is_some()
        };
        let meet = |number| RedisCommand::Meet { ip: IP, node: id(number) };
        let user = |token: &str| {
            let tokens = vec![AclToken::parse(token).unwrap()];
            RedisCommand::SetUser { name: "app".to_owned(), tokens }
        };
        assert!(said_to(2, RedisCommand::Forget(id(1))), "it lives");
        assert!(!said_to(2, RedisCommand::Forget(id(9))), "nobody is there");
        assert!(said_to(1, RedisCommand::Replicate(id(2))), "it owns slots");
        assert!(said_to(3, RedisCommand::Replicate(id(1))), "it has keys");
        assert!(!said_to(2, RedisCommand::Replicate(id(1))));
        assert!(said_to(2, RedisCommand::AddSlots(SlotSet::share(0, 2))), "they have an owner");
        assert!(!said_to(2, RedisCommand::AddSlots(SlotSet::share(1, 2))));
        assert!(said_to(1, meet(9)), "a stranger");
        assert!(!said_to(1, meet(2)));
        assert!(said_to(1, user(">in-plain-text")));
        assert!(!said_to(1, user("+get")));
    }
}
