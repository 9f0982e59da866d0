//! The operator: what does what the planner decides.
//!
//! Owns every side effect: watches and writes of Kubernetes objects, commands to Redis nodes, passwords, the leader's
//! lease, the clock. Never decides about a cluster: that is [`keyslot_planner`]'s.
//!
//! The way of a pass, from [`controllers`] through [`reconcile`]: dereference what the resource refers to → what is
//! wanted (planner) → keep the harmless objects → observe → plan (planner) → execute → status (planner) → report.
#![deny(missing_docs)]

pub mod backoff;
pub mod cli;
pub mod cluster;
pub mod context;
pub mod controllers;
pub mod difference;
pub mod http;
pub mod leader;
pub mod memory;
pub mod metrics;
pub mod nodes;
pub mod objects;
pub mod operator;
pub mod ownership;
pub mod pods;
pub mod readiness;
pub mod reconcile;
pub mod stores;
pub mod telemetry;
pub mod watches;
