#![no_main]

use keyslot_redis_admin::parse::{Fields, engine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let info = Fields::parse("INFO", text);
    let _ = (engine(&info), info.number("used_memory"), info.flag("loading"), info.text("run_id"));
});
