//! Texts for C, which end with a zero.

use core::ffi::CStr;

use heartwire_core::Violation;

use crate::abi::ViolationCode as Code;

/// What the number of a status means.
pub(crate) fn status(number: i32) -> &'static CStr {
    match number {
        0 => c"done",
        -1 => c"a pointer is null, or a value is out of range",
        -2 => c"memory is too small, or not aligned",
        -3 => c"not possible now",
        -4 => c"no room: write, then try again",
        -5 => c"too long",
        -6 => c"this protocol does not have it",
        _ => c"unknown",
    }
}

/// The number of a violation.
pub(crate) fn violation_code(violation: &Violation) -> Code {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of violations is open")]
    match violation {
        Violation::NegativeLength { .. } => Code::NEGATIVE_LENGTH,
        Violation::TooLong { .. } => Code::TOO_LONG,
        Violation::UnknownType { .. } => Code::UNKNOWN_TYPE,
        Violation::BeatWithBody { .. } => Code::BEAT_WITH_BODY,
        Violation::NoFirstFrame { .. } => Code::NO_FIRST_FRAME,
        Violation::SlowFrame { .. } => Code::SLOW_FRAME,
        Violation::Unexpected { .. } => Code::UNEXPECTED,
        Violation::BeatLength { .. } => Code::BEAT_LENGTH,
        Violation::BadWelcome => Code::BAD_WELCOME,
        Violation::BadBye => Code::BAD_BYE,
        Violation::UnknownNonce => Code::UNKNOWN_NONCE,
        Violation::PromiseTooLong { .. } => Code::PROMISE_TOO_LONG,
        Violation::TooFast => Code::TOO_FAST,
        Violation::BadPosition { .. } => Code::BAD_POSITION,
        Violation::Window { .. } => Code::WINDOW,
        Violation::BadAck => Code::BAD_ACK,
        // Only a client can commit the others, and those of later versions have no number yet.
        _ => Code::OTHER,
    }
}

/// The name of a violation's number, as in the events of the programs.
pub(crate) fn violation(number: u32) -> &'static CStr {
    match number {
        1 => c"negative_length",
        2 => c"too_long",
        3 => c"unknown_type",
        4 => c"beat_with_body",
        5 => c"no_first_frame",
        6 => c"slow_frame",
        7 => c"unexpected",
        8 => c"beat_length",
        9 => c"bad_welcome",
        10 => c"bad_bye",
        11 => c"unknown_nonce",
        12 => c"promise_too_long",
        13 => c"too_fast",
        14 => c"bad_position",
        15 => c"window",
        16 => c"bad_ack",
        _ => c"other",
    }
}

/// The name of a BYE's number, as in the events of the programs.
pub(crate) fn bye(number: u32) -> &'static CStr {
    match number {
        0 => c"done",
        1 => c"draining",
        2 => c"conflict",
        3 => c"version",
        4 => c"unauthorized",
        5 => c"taken_over",
        6 => c"name_in_use",
        7 => c"fighting",
        8 => c"too_fast",
        9 => c"protocol",
        10 => c"full",
        11 => c"slow_reader",
        12 => c"kicked",
        13 => c"not_resumable",
        _ => c"other",
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use heartwire_core::frame::Kind;
    use heartwire_core::resume::Position;

    use super::*;

    #[expect(clippy::as_conversions, reason = "an enum for C is its number")]
    #[test]
    fn violations_have_the_names_that_the_core_gives_them() {
        let (length, waited) = (0, Duration::ZERO);
        let all = [
            Violation::NegativeLength { length: -1 },
            Violation::TooLong { length, max: 0 },
            Violation::UnknownType { header: [0; 8] },
            Violation::BeatWithBody { length },
            Violation::NoFirstFrame { waited },
            Violation::SlowFrame { waited },
            Violation::Unexpected { kind: Kind::Data },
            Violation::BeatLength { length },
            Violation::BadWelcome,
            Violation::BadBye,
            Violation::UnknownNonce,
            Violation::PromiseTooLong { promise: waited, max: waited },
            Violation::TooFast,
            Violation::BadPosition { position: Position::default() },
            Violation::Window { window: 0 },
            Violation::BadAck,
        ];
        for (number, each) in (1..).zip(all) {
            assert_eq!(violation_code(&each) as u32, number);
            assert_eq!(violation(number).to_str(), Ok(each.name()));
        }
        assert_eq!(violation_code(&Violation::BadHello) as u32, 0);
        assert_eq!(violation(0), violation(17));
    }

    #[test]
    fn byes_have_the_names_that_the_core_gives_them() {
        use heartwire_core::v1::ByeCode::*;
        let all = [
            Done,
            Draining,
            Conflict,
            Version,
            Unauthorized,
            TakenOver,
            NameInUse,
            Fighting,
            TooFast,
            Protocol,
            Full,
            SlowReader,
            Kicked,
            NotResumable,
            Other(1_000),
        ];
        for code in all {
            assert_eq!(bye(code.number()).to_str(), Ok(code.name()));
        }
    }
}
