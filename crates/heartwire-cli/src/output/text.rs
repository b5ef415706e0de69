//! A queue of text lines.

use core::mem;
use std::collections::VecDeque;

use serde_json::Map;

use super::message;
use super::sink::Queue;
use crate::values::Format;

/// Maximum bytes that wait: four times what a pipe holds.
const MAX_BYTES: usize = 256 * 1024;

/// Bytes that are written together, unless one line is longer.
const AT_ONE_GO: usize = 16 * 1024;

/// A queue of lines or bytes. When it is full, the caller either [drops](Self::push) the oldest
/// lines, which are counted, or waits for [room](Self::has_room).
#[derive(Debug)]
pub(crate) struct Text {
    /// Of the message about dropped lines.
    format: Format,
    waiting: VecDeque<Vec<u8>>,
    len: usize,
    dropped: u64,
}

impl Text {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format, waiting: VecDeque::new(), len: 0, dropped: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.len < MAX_BYTES
    }

    /// Adds whole lines, and drops the oldest ones to make room.
    pub(crate) fn push(&mut self, text: Vec<u8>) {
        while !self.has_room() {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.len -= oldest.len();
            self.dropped += 1;
        }
        self.len += text.len();
        self.waiting.push_back(text);
    }
}

/// A text, and how many lines are lost without it.
pub(crate) type Item = (u64, Vec<u8>);

impl Queue for Text {
    type Item = Item;

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        let mut len = 0;
        while len < AT_ONE_GO {
            let Some(text) = self.waiting.pop_front() else { return };
            len += text.len();
            self.len -= text.len();
            // What was dropped was older than all that waits.
            let dropped = mem::take(&mut self.dropped);
            if dropped > 0 {
                let what = format_args!("{dropped} lines were dropped here");
                items.push((dropped, message::line(self.format, "warn", what, Map::new())));
            }
            items.push((1, text));
        }
    }

    fn render((_, line): &Item, text: &mut Vec<u8>) {
        text.extend_from_slice(line);
    }

    fn lost(&mut self, (lines, _): Item) {
        self.dropped += lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of everything that waits.
    fn printed(text: &mut Text) -> String {
        let (mut items, mut all) = (Vec::new(), Vec::new());
        loop {
            text.take(&mut items);
            if items.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            items.drain(..).for_each(|item| Text::render(&item, &mut all));
        }
    }

    #[test]
    fn the_oldest_lines_make_room_and_are_counted() {
        let mut text = Text::new(Format::Text);
        let line = |n: usize| format!("{n:>1023}\n");
        for n in 0..300 {
            text.push(line(n).into_bytes());
        }
        assert_eq!(text.len, MAX_BYTES);
        let mut all = "heartwire: 44 lines were dropped here\n".to_owned();
        (44..300).for_each(|n| all.push_str(&line(n)));
        assert_eq!(printed(&mut text), all);
        assert_eq!(printed(&mut text), "");
    }

    #[test]
    fn unwritten_lines_are_counted_with_the_next_line() {
        let mut text = Text { dropped: 5, ..Text::new(Format::Text) };
        text.push(b"lost\n".to_vec());
        let mut items = Vec::new();
        text.take(&mut items);
        items.drain(..).for_each(|item| text.lost(item));
        // Not by itself, or a stream that takes nothing would be written again and again.
        assert_eq!(printed(&mut text), "");
        text.push(b"next\n".to_vec());
        assert_eq!(printed(&mut text), "heartwire: 6 lines were dropped here\nnext\n");
    }
}
