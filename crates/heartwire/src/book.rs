//! The README and the chapters of the book in `docs/book`, here only so that their snippets are compiled
//! and run.

#[doc = include_str!("../../../README.md")]
mod readme {}

macro_rules! chapters {
    ($($name:ident),+) => {
        $(
            #[doc = include_str!(concat!("../../../docs/book/src/", stringify!($name), ".md"))]
            mod $name {}
        )+
    };
}

chapters!(bound, client, devices, kernel, numbers, operating, protocol, server, why);
