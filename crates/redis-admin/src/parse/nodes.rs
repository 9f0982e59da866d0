//! `CLUSTER NODES`: one line per node,
//! `id ip:port@bus[,hostname[,…]] flags primary|- ping pong epoch link slot…`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keyslot_planner::ids::NodeId;
use keyslot_planner::observed::{Peer, PeerAddress, PeerHealth};
use keyslot_planner::slots::{SLOT_COUNT, Slot, SlotSet};

use super::{Malformed, shown};

/// Slots that are half-way, each with the node on the other side.
pub type OpenSlots = BTreeMap<Slot, NodeId>;

/// The whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesTable {
    /// The line with flag `myself`.
    pub myself: Myself,
    /// All other lines.
    pub peers: BTreeMap<NodeId, Peer>,
}

/// What a node writes of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Myself {
    /// Its id.
    pub id: NodeId,
    /// The primary that it replicates; `None` for a primary.
    pub replicates: Option<NodeId>,
    /// Its slots.
    pub slots: SlotSet,
    /// Open slots it hands over. Since Valkey 8.0 a replica shows those of its primary.
    pub migrating: OpenSlots,
    /// Open slots it takes over.
    pub importing: OpenSlots,
    /// Its config epoch; of a replica, its primary's.
    pub config_epoch: u64,
}

/// Reads the reply.
pub fn nodes_table(text: &str) -> Result<NodesTable, Malformed> {
    let mut myself = None;
    let mut peers = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = Line::parse(line).map_err(|problem| Malformed::new("CLUSTER NODES", problem))?;
        let twice = if line.flags.myself {
            myself.replace(line.into_myself()?).is_some()
        } else {
            let (id, peer) = line.into_peer();
            peers.insert(id, peer).is_some()
        };
        if twice {
            return Err(Malformed::new("CLUSTER NODES", "two lines of one node"));
        }
    }
    let myself = myself.ok_or_else(|| Malformed::new("CLUSTER NODES", "no line of the node itself"))?;
    if peers.contains_key(&myself.id) {
        return Err(Malformed::new("CLUSTER NODES", "two lines of one node"));
    }
    Ok(NodesTable { myself, peers })
}

struct Line {
    id: NodeId,
    address: Option<PeerAddress>,
    hostname: Option<String>,
    flags: Flags,
    replicates: Option<NodeId>,
    config_epoch: u64,
    linked: bool,
    owned: Owned,
}

impl Line {
    fn parse(line: &str) -> Result<Self, String> {
        let mut fields = line.split(' ').filter(|field| !field.is_empty());
        let mut next = |name: &str| fields.next().ok_or_else(|| format!("no {name} in {}", shown(line)));
        let id = node_id(next("id")?)?;
        let place = next("address")?;
        let flags = Flags::parse(next("flags")?);
        let replicates = match next("primary")? {
            "-" => None,
            primary => Some(node_id(primary)?),
        };
        next("ping time")?;
        next("pong time")?;
        let epoch = next("epoch")?;
        let config_epoch = epoch.parse().map_err(|_| format!("epoch {}", shown(epoch)))?;
        let linked = match next("link state")? {
            "connected" => true,
            "disconnected" => false,
            other => return Err(format!("link state {}", shown(other))),
        };
        let owned = Owned::parse(fields)?;
        let (address, hostname) = place_of(place, &flags)?;
        Ok(Self { id, address, hostname, flags, replicates, config_epoch, linked, owned })
    }

    fn into_myself(self) -> Result<Myself, Malformed> {
        if self.flags.primary != Some(self.replicates.is_none()) {
            return Err(Malformed::new("CLUSTER NODES", "the node's own role is not clear yet"));
        }
        Ok(Myself {
            id: self.id,
            replicates: self.replicates,
            slots: self.owned.slots,
            migrating: self.owned.migrating,
            importing: self.owned.importing,
            config_epoch: self.config_epoch,
        })
    }

    fn into_peer(self) -> (NodeId, Peer) {
        let peer = Peer {
            address: self.address,
            hostname: self.hostname,
            primary: self.flags.primary,
            replicates: self.replicates,
            slots: self.owned.slots,
            config_epoch: self.config_epoch,
            linked: self.linked,
            handshake: self.flags.handshake,
            health: self.flags.health,
        };
        (self.id, peer)
    }
}

/// Flags that decisions need. Others (`nofailover`, `noflags`, those of later versions) say nothing to us.
struct Flags {
    myself: bool,
    primary: Option<bool>,
    handshake: bool,
    noaddr: bool,
    health: PeerHealth,
}

impl Flags {
    fn parse(text: &str) -> Self {
        let has = |flag: &str| text.split(',').any(|word| word == flag);
        let health = if has("fail") {
            PeerHealth::Failed
        } else if has("fail?") {
            PeerHealth::Suspected
        } else {
            PeerHealth::Fine
        };
        let primary = match (has("master"), has("slave")) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            (true, true) | (false, false) => None,
        };
        Self { myself: has("myself"), primary, handshake: has("handshake"), noaddr: has("noaddr"), health }
    }
}

/// `ip:port@bus[,hostname[,name=value…]]`. The IP of a node that was never met is empty, and so is that of a lost one.
fn place_of(text: &str, flags: &Flags) -> Result<(Option<PeerAddress>, Option<String>), String> {
    let wrong = || format!("address {}", shown(text));
    let (client, rest) = text.split_once('@').ok_or_else(wrong)?;
    let mut rest = rest.split(',');
    let bus_port: u16 = rest.next().unwrap_or_default().parse().map_err(|_| wrong())?;
    let hostname = rest.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let (ip, port) = client.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if ip.is_empty() || flags.noaddr {
        return Ok((None, hostname));
    }
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    Ok((Some(PeerAddress { ip: ip.to_canonical(), port, bus_port }), hostname))
}

#[derive(Default)]
struct Owned {
    slots: SlotSet,
    migrating: OpenSlots,
    importing: OpenSlots,
}

impl Owned {
    fn parse<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut slots: Vec<Slot> = Vec::new();
        let mut owned = Self::default();
        for field in fields {
            if let Some(open) = field.strip_prefix('[') {
                owned.add_open(open)?;
            } else {
                let (first, last) = field.split_once('-').unwrap_or((field, field));
                let (first, last) = (slot(first)?, slot(last)?);
                if first > last {
                    return Err(format!("slots {}", shown(field)));
                }
                slots.extend(first..=last);
            }
        }
        owned.slots = slots.into_iter().collect();
        Ok(owned)
    }

    /// `5->-<target>]` or `5-<-<source>]`.
    fn add_open(&mut self, text: &str) -> Result<(), String> {
        let wrong = || format!("open slot {}", shown(text));
        let inner = text.strip_suffix(']').ok_or_else(wrong)?;
        let (number, node, side) = if let Some((number, node)) = inner.split_once("->-") {
            (number, node, &mut self.migrating)
        } else {
            let (number, node) = inner.split_once("-<-").ok_or_else(wrong)?;
            (number, node, &mut self.importing)
        };
        side.insert(slot(number)?, node_id(node)?);
        Ok(())
    }
}

fn slot(text: &str) -> Result<Slot, String> {
    match text.parse() {
        Ok(slot) if slot < SLOT_COUNT => Ok(slot),
        Ok(_) | Err(_) => Err(format!("slot {}", shown(text))),
    }
}

fn node_id(text: &str) -> Result<NodeId, String> {
    text.parse().map_err(|_| format!("node id {}", shown(text)))
}

#[cfg(test)]
mod tests;
