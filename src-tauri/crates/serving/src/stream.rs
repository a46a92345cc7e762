//! Streams of events, cut into their events however the network cut the bytes.
//!
//! Sources: WHATWG HTML, "Server-sent events" (§9.2.6, interpreting an event stream), and JSON lines as Ollama sends
//! them. What must stay true: any split of the same bytes gives the same events; memory holds at most one event, of at
//! most [`EVENT_MAX_BYTES`] where a stream was asked for.

/// Longest event of a stream, in bytes. A token takes a few hundred.
pub(crate) const EVENT_MAX_BYTES: usize = 1024 * 1024;

/// The mark that an editor of some systems puts before UTF-8; it is no part of the stream.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How events are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `text/event-stream`: the data of an event end with a blank line.
    ServerSentEvents,
    /// `application/x-ndjson`: an event in each line.
    JsonLines,
    /// The whole body is one event; its size is limited by whoever reads the body.
    Whole,
}

/// An event is larger than [`EVENT_MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTooLarge;

/// Takes bytes as they come and gives events.
#[derive(Debug)]
pub(crate) struct EventSplitter {
    framing: Framing,
    lines: LineSplitter,
    event: Event,
}

/// An event that is being put together.
#[derive(Debug, Default)]
struct Event {
    data: Vec<u8>,
    has_data: bool,
    begun: bool,
}

impl EventSplitter {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, lines: LineSplitter::default(), event: Event::default() }
    }

    /// Takes the next bytes and hands each event that ends in them to `each`.
    pub(crate) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), EventTooLarge> {
        let Self { framing, lines, event } = self;
        match framing {
            Framing::ServerSentEvents => {
                lines.push(bytes, &mut |line| event.take_line(line, each))?;
                if event.data.len() > EVENT_MAX_BYTES { Err(EventTooLarge) } else { Ok(()) }
            }
            Framing::JsonLines => lines.push(bytes, &mut |line| json_line(line, each)),
            Framing::Whole => {
                event.data.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The stream has ended. Servers leave out the last blank line or line feed, so that what is left is an event too.
    pub(crate) fn finish(mut self, each: &mut dyn FnMut(&[u8])) {
        let Self { framing, lines, event } = &mut self;
        match framing {
            Framing::ServerSentEvents => {
                lines.finish(&mut |line| event.take_line(line, each));
                event.dispatch(each);
            }
            Framing::JsonLines => lines.finish(&mut |line| json_line(line, each)),
            Framing::Whole => each(&event.data),
        }
    }
}

fn json_line(line: &[u8], each: &mut dyn FnMut(&[u8])) {
    if !line.trim_ascii().is_empty() {
        each(line);
    }
}

impl Event {
    fn take_line(&mut self, line: &[u8], each: &mut dyn FnMut(&[u8])) {
        let first = !std::mem::replace(&mut self.begun, true);
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| first).unwrap_or(line);
        if line.is_empty() {
            self.dispatch(each);
            return;
        }
        // A line that begins with a colon is a comment; other fields than `data` say nothing about the answer.
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if field != b"data" {
            return;
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
    }

    fn dispatch(&mut self, each: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.has_data) {
            each(&self.data);
            self.data.clear();
        }
    }
}

/// Cuts at LF, CR or CR LF.
#[derive(Debug, Default)]
struct LineSplitter {
    pending: Vec<u8>,
    /// The last line ended with CR: an LF right after it belongs to that end.
    after_return: bool,
}

impl LineSplitter {
    fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), EventTooLarge> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let line = &bytes[..end.unwrap_or(bytes.len())];
            if self.pending.len() + line.len() > EVENT_MAX_BYTES {
                return Err(EventTooLarge);
            }
            let Some(end) = end else {
                self.pending.extend_from_slice(line);
                return Ok(());
            };
            if self.pending.is_empty() {
                each(line);
            } else {
                self.pending.extend_from_slice(line);
                each(&self.pending);
                self.pending.clear();
            }
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    fn finish(&mut self, each: &mut dyn FnMut(&[u8])) {
        if !self.pending.is_empty() {
            each(&self.pending);
            self.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, EventTooLarge> {
        let mut found = Vec::new();
        let mut splitter = EventSplitter::new(framing);
        for piece in pieces {
            splitter.push(piece, &mut |event| found.push(event.to_vec()))?;
        }
        splitter.finish(&mut |event| found.push(event.to_vec()));
        Ok(found)
    }

    /// `bytes` cut at every place that `cuts` names.
    fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
    }

    proptest! {
        /// However the network cuts a stream, the events are the same; no bytes panic.
        #[test]
        fn any_split_gives_the_same_events(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "data: {\"a\":1}", "data:x", "data", ": comment", "event: e", "id", "\n", "\r", "\r\n", "\n\n", ":",
                    " ", "\u{feff}", "data: [DONE]\n\n", "{\"done\":true}\n",
                ]),
                0..40,
            ),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(any::<usize>(), 0..30),
        ) {
            let mut bytes = pieces.concat().into_bytes();
            bytes.extend(noise);
            for framing in [Framing::ServerSentEvents, Framing::JsonLines, Framing::Whole] {
                let whole = events(framing, &[&bytes]);
                prop_assert_eq!(&events(framing, &cut(&bytes, &cuts)), &whole);
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                prop_assert_eq!(&events(framing, &single), &whole);
            }
        }
    }

    #[test]
    fn event_streams_are_read_as_the_standard_says() {
        let check = |stream: &str, expect: &[&str]| {
            let found = events(Framing::ServerSentEvents, &[stream.as_bytes()]).unwrap();
            let found: Vec<_> = found.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect();
            assert_eq!(found, expect, "{stream:?}");
        };
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data: a\r\n\r\ndata: b\r\rdata: c", &["a", "b", "c"]);
        check("data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]);
        check(": keep-alive\n\nevent: delta\nid: 7\ndata:  two blanks\n\n", &[" two blanks"]);
        check("data\n\ndata:\ndata\n\n\n\n", &["", "\n"]);
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]);
        check("", &[]);
    }

    #[test]
    fn json_lines_may_lack_their_last_end() {
        let found = events(Framing::JsonLines, &[b"{\"a\":1}\n\n {\"b\"", b":2}\r\n{}"]).unwrap();
        assert_eq!(found, [b"{\"a\":1}".to_vec(), b" {\"b\":2}".to_vec(), b"{}".to_vec()]);
    }

    #[test]
    fn an_endless_event_is_refused_within_bounds() {
        let line = vec![b'x'; EVENT_MAX_BYTES + 1];
        assert_eq!(events(Framing::JsonLines, &[&line]), Err(EventTooLarge));
        let data = [b"data: ".as_slice(), &vec![b'x'; 1000], b"\n"].concat();
        let mut splitter = EventSplitter::new(Framing::ServerSentEvents);
        let refused = (0..EVENT_MAX_BYTES / 1000 + 2).find(|_| splitter.push(&data, &mut |_| {}).is_err());
        assert!(refused.is_some());
    }
}
