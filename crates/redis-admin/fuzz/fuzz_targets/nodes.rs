#![no_main]

use keyslot_redis_admin::parse::nodes_table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(table) = nodes_table(text) {
        assert!(!table.peers.contains_key(&table.myself.id));
    }
});
