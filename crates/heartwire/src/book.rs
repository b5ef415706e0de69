//! Compiles and runs the snippets of the README and of the book in `docs/book`.

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

chapters!(bound, client, devices, kernel, numbers, operating, outages, protocol, server, why);
