//! What must be true after each run, whatever happened in it.

pub mod invariants;
pub mod ledger;
pub mod logins;
pub mod rules;
pub mod snapshot;
