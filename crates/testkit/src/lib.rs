//! keyslot-testkit
