//! A pretend world: an in-memory Redis Cluster that executes `RedisCommand`, a small pretend Kubernetes around it, and a
//! checker of the never-list that sees every operation before it is carried out. Time is simulated and randomness is
//! seeded, so every run can be played again.
//!
//! What is modelled: node ids, run ids, addresses; the bus with delays and partitions; handshakes and gossip; roles,
//! slots and config epochs with their conflicts; `fail?`, `fail`, votes and automatic failover; replication from
//! whoever answers at an address, with syncs that take time; `nodes.conf` and data over restarts; pods, the
//! StatefulSet, volumes, files, the marker. Where versions differ it is Redis 7.0.
//!
//! What is not: open slots and moving keys, manual failover, ACLs and users, memory, disks, partial resync, the start
//! guard, DNS, readiness delays, and the messages' sizes and order within one connection.

mod bus;
mod claims;
mod commands;
mod driver;
mod election;
mod gossip;
mod kubernetes;
mod node;
mod packet;
mod random;
mod rules;
mod verdict;
mod view;
mod world;

pub use bus::{Bus, Process};
pub use driver::{Mishaps, PlanFn, Run};
pub use kubernetes::{Kubernetes, Pod};
pub use node::{Link, LinkState, Millis, Node, NodeRole, PeerView};
pub use random::Random;
pub use rules::broken_rule;
pub use world::{Layout, World};
