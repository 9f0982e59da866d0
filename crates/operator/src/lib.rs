//! keyslot-operator
