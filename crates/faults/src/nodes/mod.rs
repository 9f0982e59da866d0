//! Played nodes: what a kubelet does, done with processes. A pod has an address of its own, the files of its image, its
//! volumes, ConfigMaps and Secrets where its spec says, and its real command; probes, hooks and grace periods are
//! honoured.
//!
//! Played are only kubelets, the container runtime and the driver of volumes: everything else is real. Not played are
//! services' addresses, DNS beyond the names of pods, limits of memory and processors, and init containers.

mod container;
mod kubelet;
mod machines;
mod network;
mod objects;
mod pod;
mod probes;
mod projection;
mod provisioner;
mod status;

pub use kubelet::{Kubelets, Order};
pub use machines::Machine;
