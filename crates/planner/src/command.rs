//! Everything the operator may say to a Redis node. What is not in this list can't be sent: there is no FLUSHALL,
//! no DELSLOTS, no RESET and no ACL LOAD to be sent by mistake.

use std::net::IpAddr;

use crate::acl::{AclToken, Password};
use crate::ids::{NodeId, PodName};
use crate::slots::SlotSet;

/// The port of clients, pinned.
pub const REDIS_PORT: u16 = 6379;
/// The port of the cluster bus, pinned from the first start, because TLS can't be switched on later without.
pub const BUS_PORT: u16 = 16379;

/// The node a command is for. The executor asks for the node's id first and refuses when another one answers there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The pod, for messages.
    pub pod: PodName,
    /// Its address at the time of the observation.
    pub ip: IpAddr,
    /// Who must answer there.
    pub node: NodeId,
}

/// One command for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisCommand {
    /// `CLUSTER SET-CONFIG-EPOCH`; refused by the server (harmless) once the node knows another one.
    SetConfigEpoch(u64),
    /// `CLUSTER ADDSLOTSRANGE`; refused by the server when a slot has an owner in its view.
    AddSlots(SlotSet),
    /// `CLUSTER MEET ip 6379 16379`. Only for an address whose node id was read over an authenticated connection.
    Meet {
        /// The address to meet.
        ip: IpAddr,
        /// The node that answered there.
        node: NodeId,
    },
    /// `CLUSTER REPLICATE`; refused by the server on a primary with slots or keys.
    Replicate(NodeId),
    /// `CLUSTER FORGET`; never for a node that owns slots, is the primary of a staying replica, or is still wanted.
    Forget(NodeId),
    /// `CLUSTER FAILOVER TAKEOVER`, for a replica: its primary's slots are its own at once, under a new epoch and
    /// without a vote. Never where there is data: what the replica has not got yet would be lost.
    TakeOver,
    /// `CONFIG SET` of one or more live settings in one call, all or nothing.
    SetConfig(Vec<(String, String)>),
    /// `CONFIG SET masterauth`: what the node logs in to its primary with, when it connects the next time. The only
    /// command that carries a password, since a node has to say it itself; servers keep it out of SLOWLOG and MONITOR.
    SetReplicationPassword(Password),
    /// `ACL SETUSER name token…`: all or nothing; passwords as `#<sha256>` only.
    SetUser {
        /// Name of the user.
        name: String,
        /// Tokens in order.
        tokens: Vec<AclToken>,
        /// Also `CLIENT KILL USER name`, in the same transaction: sessions that are open stay open otherwise, whatever
        /// password let them in. Never the first without the second, for who comes next finds nothing left to do.
        end_sessions: bool,
    },
    /// `ACL DELUSER`: the user's connections are closed by the server.
    DeleteUser(String),
}

impl RedisCommand {
    /// A short fixed name for metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SetConfigEpoch(_) => "set-config-epoch",
            Self::AddSlots(_) => "add-slots",
            Self::Meet { .. } => "meet",
            Self::Replicate(_) => "replicate",
            Self::Forget(_) => "forget",
            Self::TakeOver => "take-over",
            Self::SetConfig(_) => "set-config",
            Self::SetReplicationPassword(_) => "set-replication-password",
            Self::SetUser { .. } => "set-user",
            Self::DeleteUser(_) => "delete-user",
        }
    }
}
