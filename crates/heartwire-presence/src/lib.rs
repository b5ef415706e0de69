//! Who is online, on how many machines you like.
