//! The planner decides, the operator does.
//!
//! Everything that can be computed without asking the world is computed here: no clients, no clock, no randomness, no
//! environment. Time is an argument. Data flows one way:
//!
//! `RedisCluster` + [`desired::Inputs`] → [`desired::Desired`] → (with [`observed::Observed`]) [`next_step`] →
//! [`plan::Plan`] → operations, done by the operator → status.
#![deny(missing_docs)]

pub mod acl;
pub mod command;
pub mod config;
pub mod desired;
pub mod ids;
pub mod manifests;
pub mod observed;
pub mod plan;
pub mod scripts;
pub mod settings;
pub mod slots;
pub mod status;
pub mod system_users;
pub mod topology;
mod words;

pub use desired::{Desired, Inputs};
pub use manifests::{Manifest, base_manifests};
pub use plan::{Plan, next_step};
