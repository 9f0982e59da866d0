//! Faults at single requests: which one, what happens to it, and the layers that make it happen.
//!
//! Both layers ask [`Faults`] before each request that changes something. Requests of the two loops run beside each
//! other, so each is numbered among its like: the third `patch configmaps/demo-acl` of the settings loop is the same
//! request in every run.

mod injection;
mod kube_layer;
mod lanes;
mod never;
mod plan;
mod record;
mod redis_layer;
mod requests;
mod rights;

pub use injection::{Faults, Truth, Verdict};
pub use kube_layer::FaultLayer;
pub use lanes::{Lane, LaneLayer};
pub use never::passwords;
pub use plan::{Fault, Plan, Point, Proof};
pub use record::Record;
pub use redis_layer::FaultyNodes;
pub use rights::given;
