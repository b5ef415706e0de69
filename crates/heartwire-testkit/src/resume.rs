//! A client by hand that goes on with its session on another connection.

use heartwire::v1::{Hello, Offer, ResumeOffer, Welcome};
use heartwire_core::resume::Position;
use heartwire_core::v1::{ResumeTerms, Resuming, Secret};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::{ms, patient};

/// What a client knows of a session that can be resumed.
#[derive(Clone, Copy, Debug)]
pub struct Resumable {
    /// The session's id.
    pub session: u64,
    terms: ResumeTerms,
    link: u32,
}

impl Resumable {
    /// A HELLO of a client whose session can be resumed, with windows and a grace as long as the
    /// server likes.
    #[must_use]
    pub fn hello() -> Hello<'static> {
        let mut hello = Hello::new(Offer::new(&patient()));
        let grace = ms(3_600_000);
        hello.resume = Some(ResumeOffer { to_server: u32::MAX, to_client: u32::MAX, grace });
        hello
    }

    /// The session of this WELCOME.
    #[track_caller]
    #[must_use]
    pub fn of(welcome: &Welcome) -> Self {
        let terms = welcome.resume.expect("the session can be resumed");
        Self { session: welcome.session, terms, link: 1 }
    }

    /// The frame of a HELLO that goes on with the session, for a client that has received
    /// everything up to there.
    #[must_use]
    pub fn resuming(&mut self, received: Position) -> Vec<u8> {
        self.link += 1;
        let mut hello = Self::hello();
        hello.resuming = Some(Resuming {
            server: self.terms.server,
            session: self.session,
            link: self.link,
            received,
            proof: Secret(self.proof(0, received)),
            only: false,
        });
        hello.encode()
    }

    /// Up to where the server has received everything, which it proves.
    #[track_caller]
    #[must_use]
    pub fn resumed(&self, welcome: &Welcome) -> Position {
        assert_eq!((welcome.session, welcome.resume), (self.session, None));
        let resumed = welcome.resumed.expect("the session goes on");
        assert_eq!(resumed.proof.0, self.proof(1, resumed.received), "the proof is wrong");
        resumed.received
    }

    /// As in `PROTOCOL.md`; the role is 0 for a client and 1 for a server.
    fn proof(&self, role: u8, Position { frames, bytes }: Position) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.terms.key.0).unwrap();
        mac.chain_update(b"heartwire resume")
            .chain_update([role])
            .chain_update(self.terms.server.to_le_bytes())
            .chain_update(self.session.to_le_bytes())
            .chain_update(self.link.to_le_bytes())
            .chain_update(frames.to_le_bytes())
            .chain_update(bytes.to_le_bytes())
            .finalize()
            .into_bytes()
            .into()
    }
}

/// The position after DATA frames with these bodies.
#[must_use]
pub fn after(bodies: &[&[u8]]) -> Position {
    let bytes = bodies.iter().map(|body| 8 + u64::try_from(body.len()).unwrap()).sum();
    Position { frames: u64::try_from(bodies.len()).unwrap(), bytes }
}
