//! keyslot-e2e
