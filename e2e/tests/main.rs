//! Stories about Keyslot on a real Kubernetes. Each has a namespace of its own; the operator is
//! installed once. How to run one: docs/development.md.

mod bad_input;

mod steps;
