//! Tools of the end-to-end tests and of the demo, against a real Kubernetes.
//!
//! [`with_namespace`] gives each story a namespace of its own and the operator, which is installed once
//! per run from `deploy/`. A story says what is true in [`clusters`] and [`nodes`], waits with [`wait`],
//! and works with data through [`client`], which runs inside the Kubernetes cluster: nothing here needs a
//! route to a pod, so any Kubernetes will do; only [`mod@bench`] needs the local one.

pub mod audit;
pub mod bench;
pub mod client;
pub mod clusters;
pub mod exec;
pub mod install;
pub mod intruder;
pub mod invariants;
pub mod load;
pub mod namespace;
pub mod nodes;
pub mod operator;
pub mod processes;
pub mod report;
pub mod settings;
pub mod wait;

pub use namespace::{Namespace, with_namespace};
