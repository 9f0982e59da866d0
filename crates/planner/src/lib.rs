//! keyslot-planner
