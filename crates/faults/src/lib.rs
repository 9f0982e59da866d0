//! Makes every error path of the operator cheap to run: a control plane that is real, nodes that are played with
//! processes, and a fault at any request.
//!
//! [`tier`] is the machine in which all of it happens; [`nodes`] play the kubelets. A [`flow::Flow`] is what a person
//! does; [`enumerator`] runs it once for every fault at every request of the operator ([`faults`]), and [`oracles`] say
//! what must be true after each run. See docs/testing.md.

pub mod bad_resources;
pub mod enumerator;
pub mod faults;
pub mod flow;
pub mod nodes;
pub mod operator;
pub mod oracles;
pub mod part;
pub mod queue;
pub mod report;
pub mod run;
pub mod scene;
pub mod tier;
