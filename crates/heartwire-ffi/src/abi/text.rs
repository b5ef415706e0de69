//! Names and texts.

use core::ffi::c_char;

use super::{StatusNumber, ViolationNumber};
use crate::names;

/// What a status is called: a text that ends with a zero and always stays.
#[unsafe(no_mangle)]
pub extern "C" fn hw_status_text(status: StatusNumber) -> *const c_char {
    names::status(status).as_ptr()
}

/// The name of a violation's code, as in the events of the programs.
#[unsafe(no_mangle)]
pub extern "C" fn hw_violation_text(code: ViolationNumber) -> *const c_char {
    names::violation(code).as_ptr()
}

/// The name of a BYE's code, as in the events of the programs.
#[unsafe(no_mangle)]
pub extern "C" fn hw_bye_text(code: u32) -> *const c_char {
    names::bye(code).as_ptr()
}

/// The version of this library.
#[unsafe(no_mangle)]
pub extern "C" fn hw_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
