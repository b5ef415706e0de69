//! The calls of a client that need no more than the client and the time, as C makes them. The tests
//! of hostile servers have this file too.

use core::ptr;
use std::vec::Vec;

use super::rig::abi::*;

/// What has a client.
///
/// # Safety
///
/// `client` returns a client that lives as long as this value.
pub(crate) unsafe trait Calls {
    fn client(&mut self) -> *mut Client;

    fn now(&self) -> u64;

    fn connected(&mut self) -> Status {
        let now = self.now();
        // SAFETY: it is a client.
        unsafe { hw_client_connected(self.client(), now) }
    }

    fn disconnect(&mut self) {
        let now = self.now();
        // SAFETY: it is a client.
        assert_eq!(unsafe { hw_client_disconnected(self.client(), now) }, Status::OK);
    }

    /// Feeds bytes. Returns how many were taken.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        let (now, mut taken) = (self.now(), usize::MAX);
        // SAFETY: it is a client, and the bytes have their length.
        let fed =
            unsafe { hw_client_feed(self.client(), now, bytes.as_ptr(), bytes.len(), &mut taken) };
        assert_eq!(fed, Status::OK);
        taken
    }

    fn poll(&mut self) -> Step {
        let now = self.now();
        // SAFETY: it is a client.
        unsafe { hw_client_poll(self.client(), now) }
    }

    fn read_done(&mut self, more: bool) -> Step {
        let now = self.now();
        // SAFETY: it is a client.
        unsafe { hw_client_read_done(self.client(), now, more) }
    }

    fn deadline(&mut self) -> u64 {
        // SAFETY: it is a client.
        unsafe { hw_client_deadline(self.client()) }
    }

    fn output(&mut self) -> Vec<u8> {
        let (mut bytes, mut len) = (ptr::null(), usize::MAX);
        // SAFETY: it is a client, and the output stays until the next call.
        unsafe {
            assert_eq!(hw_client_output(self.client(), &mut bytes, &mut len), Status::OK);
            core::slice::from_raw_parts(bytes, len).to_vec()
        }
    }

    /// So many bytes of the output were written.
    fn written(&mut self, len: usize) {
        let now = self.now();
        // SAFETY: it is a client.
        assert_eq!(unsafe { hw_client_written(self.client(), now, len) }, Status::OK);
    }

    fn send(&mut self, body: &[u8]) -> Status {
        let now = self.now();
        // SAFETY: it is a client, and the bytes have their length.
        unsafe { hw_client_send(self.client(), now, body.as_ptr(), body.len()) }
    }

    fn send_room(&mut self) -> usize {
        // SAFETY: it is a client.
        unsafe { hw_client_send_room(self.client()) }
    }

    fn close(&mut self) -> Status {
        let now = self.now();
        // SAFETY: it is a client.
        unsafe { hw_client_close(self.client(), now) }
    }

    fn retry_ms(&mut self) -> u64 {
        let now = self.now();
        // SAFETY: it is a client.
        unsafe { hw_client_retry_ms(self.client(), now) }
    }
}
