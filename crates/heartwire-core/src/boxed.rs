//! Values behind pointers, where there is an allocator.

use core::fmt;
use core::ops::{Deref, DerefMut};

#[cfg(feature = "alloc")]
type Place<T> = alloc::boxed::Box<T>;
#[cfg(not(feature = "alloc"))]
type Place<T> = T;

// A counter of owners is an atomic number, which not every processor can change.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
type SharedPlace<T> = alloc::sync::Arc<T>;
#[cfg(not(all(feature = "alloc", target_has_atomic = "ptr")))]
type SharedPlace<T> = T;

/// A value that few connections have, or for a short time: a `Box` with the feature `alloc`, so
/// that the others stay small, and the value itself without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Boxed<T>(Place<T>);

impl<T> Boxed<T> {
    /// Boxes a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Place::<T>::from(value))
    }

    /// Takes the value out.
    #[must_use]
    pub fn into_inner(self) -> T {
        #[cfg(feature = "alloc")]
        return *self.0;
        #[cfg(not(feature = "alloc"))]
        return self.0;
    }
}

impl<T> Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value that is the same for many connections, which have it in common: an `Arc` with the
/// feature `alloc`, and a copy each without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Shared<T>(SharedPlace<T>);

impl<T> Shared<T> {
    /// A value that its clones share.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(SharedPlace::<T>::from(value))
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
