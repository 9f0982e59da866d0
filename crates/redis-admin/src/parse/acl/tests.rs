use super::*;
use proptest::prelude::*;

fn text(text: &str) -> Reply {
    Reply::Text(text.as_bytes().to_vec())
}

fn texts(items: &[&str]) -> Reply {
    Reply::Array(items.iter().map(|item| text(item)).collect())
}

/// The reply of RESP2 or of RESP3 for the same fields.
fn fields(fields: &[(&str, Reply)], map: bool) -> Reply {
    if map {
        Reply::Map(fields.iter().map(|(name, value)| (text(name), value.clone())).collect())
    } else {
        Reply::Array(fields.iter().flat_map(|(name, value)| [text(name), value.clone()]).collect())
    }
}

fn permissions(commands: &str, keys: &str, channels: &str) -> Vec<(&'static str, Reply)> {
    vec![("commands", text(commands)), ("keys", text(keys)), ("channels", text(channels))]
}

fn user(flags: &[&str], passwords: &[&str], map: bool) -> Vec<(&'static str, Reply)> {
    let selector = fields(&permissions("-@all +append", "%W~log:*", ""), map);
    let mut user = vec![("flags", texts(flags)), ("passwords", texts(passwords))];
    user.extend(permissions("-@all +get", "~app:*", "&news"));
    user.push(("selectors", Reply::Array(vec![selector])));
    user
}

#[test]
fn a_user_is_the_same_in_both_protocols() {
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let read =
        |map| live_user(&fields(&user(&["on", "sanitize-payload"], &[hash], map), map)).unwrap().unwrap();
    assert_eq!(read(false), read(true));
    let user = read(true);
    assert!(user.enabled && !user.nopass);
    assert_eq!(user.passwords, [PasswordHash::parse(hash).unwrap()].into());
    assert_eq!(user.permissions[0].channels, "&news");
    assert_eq!(user.permissions[1].keys, "%W~log:*");
}

#[test]
fn an_unknown_user_is_nobody() {
    assert_eq!(live_user(&Reply::Nil), Ok(None));
}

#[test]
fn databases_are_read_where_they_are_shown() {
    let mut shown = user(&["off"], &[], false);
    shown.push(("databases", text("db=0,1")));
    let read = live_user(&fields(&shown, false)).unwrap().unwrap();
    assert_eq!(read.permissions[0].databases, "db=0,1");
    assert_eq!(read.permissions[1].databases, "");
}

#[test]
fn a_user_that_is_not_whole_is_refused_without_its_hashes() {
    for missing in 0..6 {
        let mut incomplete = user(&["on"], &[], false);
        incomplete.remove(missing);
        assert!(live_user(&fields(&incomplete, false)).is_err(), "{missing}");
    }
    for flags in [&["on", "off"][..], &[], &["nopass"]] {
        assert!(live_user(&fields(&user(flags, &[], false), false)).is_err(), "{flags:?}");
    }
    let words = live_user(&fields(&user(&["on"], &["secret"], false), false)).unwrap_err().to_string();
    assert_eq!(words, "ACL GETUSER: a password hash");
}

#[test]
fn names_need_not_be_text() {
    let names = Reply::Array(vec![text("app"), Reply::Text(vec![0xff])]);
    assert_eq!(user_names(&names), Ok(vec![b"app".to_vec(), vec![0xff]]));
    assert!(user_names(&Reply::Nil).is_err());
    assert!(user_names(&Reply::Array(vec![Reply::Integer(1)])).is_err());
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let known = prop_oneof![
        Just("flags"),
        Just("passwords"),
        Just("commands"),
        Just("keys"),
        Just("channels"),
        Just("selectors"),
        Just("on"),
    ];
    let leaf = prop_oneof![
        Just(Reply::Nil),
        any::<i64>().prop_map(Reply::Integer),
        any::<Vec<u8>>().prop_map(Reply::Text),
        known.prop_map(text),
    ];
    leaf.prop_recursive(3, 40, 14, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..14).prop_map(Reply::Array),
            proptest::collection::vec((inner.clone(), inner), 0..8).prop_map(Reply::Map),
        ]
    })
}

proptest! {
    #[test]
    fn no_reply_makes_it_panic(reply in any_reply()) {
        let _ = (live_user(&reply), user_names(&reply), crate::parse::configuration(&reply));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        if let Some(reply) = Reply::from_wire(&bytes) {
            let _ = (live_user(&reply), user_names(&reply));
        }
    }
}
