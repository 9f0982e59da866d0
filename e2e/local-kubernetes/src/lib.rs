//! local-kubernetes
