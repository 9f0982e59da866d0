//! Pretend worlds for tests, and real servers.
#![allow(clippy::expect_used)]

pub mod builders;
pub mod redis_server;
pub mod sim;
