use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::admin::tests::{Scene, request};
use crate::limit::{Asked, BanTerms, MayCheck};

#[test]
fn pages_meet_each_ban_once_those_first_that_end_first() {
    let scene = Scene::alices(0);
    let now = clock::now();
    for number in 0..300_u32 {
        let ban_for = Duration::from_secs(600 + u64::from(number * 7 % 5));
        let terms = BanTerms { max_failures: 1, ban_for, answer_after: Duration::ZERO };
        let client = Ipv4Addr::from(0xC000_0200 + number).into();
        let check = scene.api.admission.bans().check(client, Asked::Us, terms, now.mono);
        let MayCheck::Yes(check) = check else { panic!("{check:?}") };
        assert!(check.failed(now));
    }
    for limit in [7, 100, 299, 300, 1000] {
        let mut query = BansQuery { limit, cursor: None };
        let mut seen: Vec<(String, IpAddr)> = Vec::new();
        loop {
            let reply = scene.api.bans(&request(), &query);
            let page: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(page["total"], 300);
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= limit as usize);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let ban = |row: &Value| (text(&row["until"]), text(&row["address"]).parse().unwrap());
            seen.extend(rows.iter().map(ban));
            let next = page["next_cursor"].as_str();
            assert_eq!(reply.headers.iter().any(|(name, _)| *name == "Link"), next.is_some());
            let Some(next) = next else { break };
            query.cursor = Some(BanCursor::decode(next).unwrap());
        }
        assert_eq!(seen.len(), 300);
        assert!(seen.is_sorted());
    }
}
