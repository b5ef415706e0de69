//! The allocator's settings.

/// Has the allocator of glibc keep up to 2 MiB that were freed, instead of 128 KiB: it learns that
/// from the first large block that is freed. Otherwise each burst of data gets its memory from the
/// system anew, which takes up to a quarter of the processor time.
pub(crate) fn keep_freed() {
    drop(core::hint::black_box(Vec::<u8>::with_capacity(1024 * 1024)));
}
