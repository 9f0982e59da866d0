//! The scripts that run in the pods, as files of their own so that they can be read, run and tested as what they are.
//!
//! POSIX sh, and only tools that the official images have. The files are mounted as a directory (never by subPath), so
//! running pods get a changed script by themselves.

/// Starts the server.
pub const START: &str = include_str!("start.sh");
/// Readiness.
pub const READY: &str = include_str!("ready.sh");
/// Runs before the server is told to stop.
pub const STOP: &str = include_str!("stop.sh");
