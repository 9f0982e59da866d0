//! What users write and read: the `RedisCluster` resource.
//!
//! Owns the types, their schema with every rule that the API server can check by itself, the
//! vocabulary of the status ([`conditions`]) and the names that Keyslot puts on objects ([`labels`]).
//! Never decides anything and never talks to anything; the YAML in `crds/` is generated from here.
#![deny(missing_docs)]

pub mod conditions;
mod crd;
pub mod labels;
mod reference;
pub mod v1alpha1;

pub use crd::crd;
pub use reference::{conditions_page, reference};
