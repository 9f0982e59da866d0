//! What nodes say to each other.

use std::net::IpAddr;

use keyslot_planner::ids::NodeId;
use keyslot_planner::slots::SlotSet;

/// One message on the bus, to an address.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The sender's address.
    pub from: IpAddr,
    /// Whoever is there gets it.
    pub to: IpAddr,
    /// What every message says about its sender.
    pub header: Header,
    /// The rest.
    pub body: Body,
}

/// What every message says about its sender.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its id.
    pub id: NodeId,
    /// Its host name.
    pub hostname: String,
    /// Its primary, when it is a replica.
    pub of: Option<NodeId>,
    /// Its slots; a replica names its primary's.
    pub slots: SlotSet,
    /// Its config epoch; a replica names its primary's.
    pub config_epoch: u64,
    /// Its current epoch.
    pub current_epoch: u64,
}

/// What a message is for.
#[derive(Clone, Debug)]
pub enum Body {
    /// Asks for acquaintance.
    Meet,
    /// Asks for an answer, with gossip about a few others.
    Ping(Vec<Rumour>, Option<NodeId>),
    /// Answers; names whom the question was for.
    Pong(Vec<Rumour>, Option<NodeId>),
    /// A majority calls this node failed.
    Fail(NodeId),
    /// Corrects a claim: who owns these slots since which epoch.
    Update(NodeId, u64, SlotSet),
    /// A replica asks for votes.
    VoteRequest,
    /// A vote for the epoch.
    Vote(u64),
}

/// What a node says about a third one.
#[derive(Clone, Debug)]
pub struct Rumour {
    /// Who.
    pub id: NodeId,
    /// Where, unless it was lost.
    pub ip: Option<IpAddr>,
    /// Announced host name.
    pub hostname: String,
    /// `fail?` or `fail`.
    pub failing: bool,
}
