//! Positions that a peer may tell, and those that it cannot have.

use arbitrary::Arbitrary;
use heartwire_core::resume::Position;

/// What a peer says that it has taken over or received.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Where a frame ends, counted from the beginning, over and over.
    Boundary(u8),
    /// Off that by a little.
    Near { boundary: u8, frames: i8, bytes: i8 },
    /// Off that by one bit, which may be lost where a number is cut short.
    Bit { boundary: u8, bit: u8 },
    /// Also where it overflows.
    Any { frames: u64, bytes: u64 },
}

impl Place {
    pub(crate) fn of(self, ends: &Ends) -> Position {
        match self {
            Self::Boundary(number) => ends.over_and_over(number),
            Self::Near { boundary, frames, bytes } => {
                let Position { frames: whole, bytes: len } = ends.over_and_over(boundary);
                Position {
                    frames: whole.wrapping_add_signed(frames.into()),
                    bytes: len.wrapping_add_signed(bytes.into()),
                }
            }
            Self::Bit { boundary, bit } => {
                let Position { frames, bytes } = ends.over_and_over(boundary);
                let flipped = 1 << (bit % 64);
                match bit & 64 {
                    0 => Position { frames: frames ^ flipped, bytes },
                    _ => Position { frames, bytes: bytes ^ flipped },
                }
            }
            Self::Any { frames, bytes } => Position { frames, bytes },
        }
    }
}

/// Where each frame of a direction ended, from the beginning of the session.
#[derive(Clone, Debug)]
pub(crate) struct Ends(Vec<Position>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![Position::default()])
    }
}

impl Ends {
    /// A frame of `len` bytes, header included.
    pub(crate) fn push(&mut self, len: usize) {
        let last = self.last();
        self.0.push(Position { frames: last.frames + 1, bytes: last.bytes + len as u64 });
    }

    /// After all frames.
    pub(crate) fn last(&self) -> Position {
        *self.0.last().expect("there is the beginning")
    }

    fn over_and_over(&self, number: u8) -> Position {
        self.0[usize::from(number) % self.0.len()]
    }

    /// Whether a frame ends there.
    pub(crate) fn has(&self, position: Position) -> bool {
        let frames = usize::try_from(position.frames).unwrap_or(usize::MAX);
        self.0.get(frames) == Some(&position)
    }
}
