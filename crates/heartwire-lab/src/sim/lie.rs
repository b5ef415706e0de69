//! Sockets that lie to the driver that holds them, so that it breaks a rule although its code is
//! right; and those of another program, which has no timeout without saying so.

use core::time::Duration;

use heartwire_core::frame::{BEAT, HEADER_LEN};
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use heartwire_core::v1::Contract;
use heartwire_core::{Instant, Protocol, Settings, Side};

use super::broken::Broken;
use super::frames::{Frame, Frames, welcome_of};
use super::link::{LinkId, SocketError};
use super::net::{Net, Read};
use super::terms::{LENIENT, Terms};

/// A socket that lies.
#[derive(Debug)]
pub(super) struct Liar {
    broken: Option<Broken>,
    link: LinkId,
    side: Side,
    terms: Terms,
    /// Bytes that it has read and not passed on, and the state of those it reads.
    held: Vec<u8>,
    frames: Frames,
    /// The contract that this end says it keeps to, and the settings to read a WELCOME by.
    pretended: Option<(Contract, Settings)>,
    /// When it last wrote anything but a beat.
    sent_at: Option<Instant>,
}

impl Liar {
    /// A socket for an end with these terms; `None` if it has no need to lie.
    pub(super) fn of(link: LinkId, side: Side, terms: &Terms, peer: &Terms) -> Option<Self> {
        let pretended = pretended(side, terms, peer);
        let lies = pretended.is_some() || terms.broken.is_some_and(Broken::is_of_the_socket);
        lies.then(|| Self {
            broken: terms.broken,
            link,
            side,
            terms: *terms,
            held: Vec::new(),
            frames: Frames::default(),
            pretended,
            sent_at: None,
        })
    }

    /// Reads like [`Net::read`], and lies.
    pub(super) fn read(&mut self, net: &mut Net, buffer: &mut Vec<u8>, most: usize) -> Read {
        let (link, side) = (self.link, self.side);
        match self.broken {
            // The driver sees only bytes that it was told of.
            Some(Broken::JudgesBeforeReading) if !net.was_told(link, side) => Read::Nothing,
            Some(Broken::LosesLastWords) if net.has_ended(link, side) => Read::End,
            Some(Broken::HearsWholeFramesOnly) => {
                let room = most.saturating_sub(self.held.len());
                match net.read(link, side, &mut self.held, room) {
                    Read::Bytes => {}
                    other if whole(&self.held) == 0 => return other,
                    Read::Nothing | Read::End | Read::Failed(_) => {}
                }
                let until = whole(&self.held);
                buffer.extend(self.held.drain(..until));
                if until == 0 { Read::Nothing } else { Read::Bytes }
            }
            Some(_) | None => {
                let read = net.read(link, side, buffer, most / 2);
                if read == Read::Bytes {
                    self.garble(buffer);
                    self.answer_all(net, buffer);
                }
                if read == Read::Bytes && buffer.is_empty() { Read::Nothing } else { read }
            }
        }
    }

    fn garble(&mut self, bytes: &mut Vec<u8>) {
        let until = whole(bytes);
        let timeout = self.terms.policy.timeout().unwrap_or_default();
        match self.broken {
            Some(Broken::LosesPartialFrames) => self.lose_partial_frames(bytes),
            Some(Broken::RepeatsPartialFrames) => {
                let rest = bytes.get(until..).unwrap_or_default().to_vec();
                bytes.extend(rest);
            }
            Some(Broken::JudgesUnheardEarly) => edit_silence(bytes, |silence| {
                // Only a beat that reports a silence matters.
                if silence.is_zero() { silence } else { silence + timeout / 2 }
            }),
            Some(Broken::NeverJudgesUnheard) => edit_silence(bytes, |_| Duration::ZERO),
            Some(_) | None => {}
        }
        if self.side == Side::Client
            && let Some((contract, settings)) = &self.pretended
        {
            edit_welcome(bytes, *contract, *settings);
        }
    }

    /// Answers every beat, as an echoing driver would.
    fn answer_all(&self, net: &mut Net, bytes: &[u8]) {
        if self.broken != Some(Broken::AnswersAnswers) {
            return;
        }
        let (mut frames, mut rest) = (Frames::default(), bytes);
        while let Some(frame) = frames.take(&mut rest) {
            if matches!(frame, Frame::Beat(None)) {
                // A connection that has failed ends by itself.
                let _ = net.write(self.link, self.side, &BEAT);
            }
        }
    }

    /// Drops what belongs to a frame that has not come at once.
    fn lose_partial_frames(&mut self, bytes: &mut Vec<u8>) {
        let mut kept = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (is_whole, before) = (!self.frames.has_begun(), rest);
            if self.frames.take(&mut rest).is_none() {
                break;
            }
            if is_whole {
                kept.extend_from_slice(before.get(..before.len() - rest.len()).unwrap_or_default());
            }
        }
        *bytes = kept;
    }

    /// Writes like [`Net::write`], and lies.
    pub(super) fn write(&mut self, net: &mut Net, bytes: &[u8]) -> Result<usize, SocketError> {
        let (link, side) = (self.link, self.side);
        let now = net.clock(net.link(link).sockets.of(side).host);
        if self.side == Side::Server
            && let Some((contract, settings)) = &self.pretended
        {
            let mut edited = bytes.to_vec();
            if edit_welcome(&mut edited, *contract, *settings) {
                // It is the first that is written, and there is room for it.
                self.pretended = None;
                net.write(link, side, &edited)?;
                return Ok(bytes.len());
            }
        }
        if !self.broken.is_some_and(Broken::is_of_beats) {
            return net.write(link, side, bytes);
        }
        let mut rest = bytes;
        let frame = Frames::default().take(&mut rest);
        let len = bytes.len() - rest.len();
        if matches!(frame, Some(Frame::Beat(_))) && self.drops_beat(now) {
            return Ok(len);
        }
        let written = net.write(link, side, bytes.get(..len).unwrap_or(bytes))?;
        self.sent_at = Some(now);
        Ok(written)
    }

    fn drops_beat(&self, now: Instant) -> bool {
        let policy = self.terms.policy;
        match self.broken {
            Some(Broken::NeverBeats) => policy.interval().is_some(),
            Some(Broken::NeverAnswers) => policy.echo(),
            Some(Broken::AsksWithData) => policy
                .interval()
                .zip(self.sent_at)
                .is_some_and(|(beat, at)| now.saturating_since(at) < beat),
            Some(_) | None => false,
        }
    }
}

/// The changed WELCOME where one end has no timeout: it states a timeout for the server, and an
/// endless one for the client.
fn pretended(side: Side, terms: &Terms, peer: &Terms) -> Option<(Contract, Settings)> {
    let (client, server) = match side {
        Side::Client => (terms, peer),
        Side::Server => (peer, terms),
    };
    if !terms.is_lenient || client.protocol != Protocol::V1 {
        return None;
    }
    let agreed = server.as_server().agree(&client.offer()).ok()?;
    let contract = match side {
        Side::Server => agreed,
        Side::Client => {
            let mut contract = agreed;
            contract.to_client =
                server.as_server().agree(&client.lenient_offer(LENIENT)).ok()?.to_client;
            contract
        }
    };
    Some((contract, client.settings()))
}

/// How many of these bytes are whole frames.
fn whole(bytes: &[u8]) -> usize {
    let mut frames = Frames::default();
    let (mut rest, mut until) = (bytes, 0);
    while frames.take(&mut rest).is_some() {
        until = bytes.len() - rest.len();
    }
    until
}

/// Changes the silence in each whole beat of protocol v1.
fn edit_silence(bytes: &mut [u8], edit: impl Fn(Duration) -> Duration) {
    let mut at = 0;
    while at < bytes.len() {
        let mut rest = bytes.get(at..).unwrap_or_default();
        let before = rest.len();
        let Some(frame) = Frames::default().take(&mut rest) else { return };
        let len = before - rest.len();
        if let Frame::Beat(Some(beat)) = frame {
            let silence_ms = u32::try_from(edit(beat.silence()).as_millis()).unwrap_or(u32::MAX);
            let body = Beat { silence_ms, ..beat }.encode();
            let from = at + HEADER_LEN;
            if let Some(place) = bytes.get_mut(from..from + BEAT_LEN) {
                place.copy_from_slice(&body);
            }
        }
        at += len;
    }
}

/// Replaces the contract in a WELCOME among these bytes. Returns whether there is one.
fn edit_welcome(bytes: &mut Vec<u8>, contract: Contract, settings: Settings) -> bool {
    let mut rest = bytes.as_slice();
    loop {
        let at = bytes.len() - rest.len();
        match Frames::default().take(&mut rest) {
            Some(Frame::Welcome(frame)) => {
                let Some(mut welcome) = welcome_of(&frame, settings) else { return false };
                welcome.contract = contract;
                bytes.splice(at..at + frame.len(), welcome.encode());
                return true;
            }
            Some(_) => {}
            None => return false,
        }
    }
}
