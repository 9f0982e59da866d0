#![no_main]

use keyslot_redis_admin::parse::{configuration, live_user, user_names};
use keyslot_redis_admin::reply::Reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(reply) = Reply::from_wire(bytes) {
        let _ = (live_user(&reply), user_names(&reply), configuration(&reply));
    }
});
