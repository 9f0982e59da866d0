//! keyslot-api
