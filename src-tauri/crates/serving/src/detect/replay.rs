//! A detection without a network: the answers stand in a text.
//!
//! The text's first line is the pasted URL. Then come answers, each begun by a line `--- PATH STATUS HEADER=VALUE …` and
//! followed by its body; the path `*` answers every other question.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::address::base_of;
use super::asking::{COMMON, FURTHER};
use super::reply::{Ask, Replies, Reply, Seen};
use super::rules;

/// The mark at the beginning of an answer.
const MARK: &str = "--- ";

struct Answer<'a> {
    path: &'a str,
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// Reads the answers with all rules, and asks once more what they call for, as a detection does.
pub(crate) fn judge(text: &str) {
    let mut lines = text.lines();
    let Some(Ok(url)) = lines.next().map(str::parse) else { return };
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for line in lines {
        match (line.strip_prefix(MARK), answers.last_mut()) {
            (Some(head), _) => answers.extend(begin(head)),
            (None, Some(answer)) => {
                answer.body.push_str(line);
                answer.body.push('\n');
            }
            (None, None) => {}
        }
    }
    let reply = |ask: &Ask| {
        let path = ask.path();
        let found = answers.iter().find(|answer| answer.path == path);
        let found = found.or_else(|| answers.iter().find(|answer| answer.path == "*"));
        match found {
            Some(answer) => {
                Reply::new(ask.clone(), Some(answer.status), answer.headers.clone(), answer.body.clone().into_bytes())
            }
            None => Reply::new(ask.clone(), None, HeaderMap::new(), Vec::new()),
        }
    };
    let (base, hints) = base_of(&url);
    let mut replies = Replies(COMMON.iter().chain(&FURTHER).map(|path| reply(&Ask::get(path))).collect());
    for _ in 0..2 {
        let (best, others) = rules::judge(Seen { replies: &replies, hints: &hints, base: &base }, 0.1);
        let asks: Vec<Ask> = best.asks.iter().chain(others.iter().flat_map(|other| &other.asks)).cloned().collect();
        for ask in asks {
            if replies.to(&ask).is_none() && replies.0.len() < 40 {
                replies.0.push(reply(&ask));
            }
        }
        let requests = replies.0.len();
        let found = super::detection(&base, best, others, requests);
        assert!((0.0..=1.0).contains(&found.confidence), "a confidence is a share: {}", found.confidence);
        assert!(found.models.len() <= super::MAX_MODELS, "the limit of models holds");
    }
}

fn begin(head: &str) -> Option<Answer<'_>> {
    let mut words = head.split(' ');
    let (path, status) = (words.next()?, words.next()?.trim().parse().ok()?);
    let mut headers = HeaderMap::new();
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    Some(Answer { path, status, headers, body: String::new() })
}
