//! keyslot-redis-admin
