//! A client of a toy server, which the test plays.

use std::io;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::internal::v1::Beat;
use heartwire_testkit::{BEAT, Got, HEART, beat_of, frame};

use crate::toy::Toy;

impl Toy {
    pub(in crate::server) fn data(&self, body: &[u8]) {
        self.send(&heartwire_testkit::data(body));
    }

    /// A beat of v0.
    pub(in crate::server) fn beat(&self) {
        self.send(&BEAT);
    }

    /// A beat of v1.
    pub(in crate::server) fn beat_with(&self, change: impl FnOnce(&mut Beat)) {
        let mut beat = beat_of(1);
        change(&mut beat);
        self.send(&frame(HEART, &beat.encode()));
    }

    /// Ends the connection after its bytes, with the end or an error.
    pub(in crate::server) fn end(&self, with: io::ErrorKind) {
        let mut state = self.state();
        state.end = Some(with);
        state.has_news = true;
    }

    pub(in crate::server) fn close(&self) {
        self.end(io::ErrorKind::UnexpectedEof);
    }

    pub(in crate::server) fn reset(&self) {
        self.state().write_error = Some(io::ErrorKind::ConnectionReset);
        self.end(io::ErrorKind::ConnectionReset);
    }

    /// Complete frames that were written to it since the last call.
    pub(in crate::server) fn got(&self) -> Vec<Got> {
        let written = &mut self.state().written;
        let (mut got, mut used) = (Vec::new(), 0);
        while let Some((&header, rest)) = written[used..].split_first_chunk::<HEADER_LEN>() {
            let len = i32::from_le_bytes(header[4..].try_into().unwrap());
            let Some(body) = rest.get(..usize::try_from(len).unwrap()) else { break };
            got.push(Got::of_frame(header, body));
            used += HEADER_LEN + body.len();
        }
        written.drain(..used);
        got
    }

    /// The same without beats.
    pub(in crate::server) fn got_but_beats(&self) -> Vec<Got> {
        let is_beat = |got: &Got| matches!(got, Got::Heart | Got::Beat(_));
        self.got().into_iter().filter(|got| !is_beat(got)).collect()
    }
}
