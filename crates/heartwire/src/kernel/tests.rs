use core::num::NonZeroU32;
use core::time::Duration;
use std::net::{TcpListener, TcpStream};

use socket2::SockRef;

use super::{Keepalive, KernelOptions, KernelTimers};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn options_are_read_back_as_they_were_set() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let keepalive = Keepalive::new(secs(3), secs(4), 5).unwrap();
    let timers = KernelTimers::new(Some(keepalive), Some(secs(23))).unwrap();
    let options = KernelOptions::default().timers(timers);
    let report = options.apply(&SockRef::from(&stream)).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!((report.timers, report.nodelay), (timers, true));
        assert!(report.missing.is_empty());
    }
}

#[test]
fn buffers_are_as_long_as_was_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = SockRef::from(&stream);
    let options = KernelOptions::default().buffers(NonZeroU32::new(8 * 1024));
    let report = options.apply(&socket).unwrap();
    let (send, receive) = (report.send_buffer.unwrap(), report.receive_buffer.unwrap());
    assert_eq!(
        [send, receive],
        [socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()]
    );
    // Twice as much, on Linux.
    assert!([send, receive].iter().all(|len| (8 * 1024..=16 * 1024).contains(len)), "{report:?}");
    let text = "keepalive off, user timeout off, nodelay on, buffers of 8192 B \
                (in force: SEND B to send, RECEIVE B to receive)";
    let text = text.replace("SEND", &send.to_string()).replace("RECEIVE", &receive.to_string());
    assert_eq!(report.to_string(), text);
}

#[test]
fn the_default_leaves_the_kernels_timers_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let report = KernelOptions::default().apply(&SockRef::from(&listener)).unwrap();
    assert_eq!((report.send_buffer, report.receive_buffer), (None, None));
    assert_eq!(report.to_string(), "keepalive off, user timeout off, nodelay on");
}

#[test]
fn unsent_bytes_are_bounded_as_was_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = SockRef::from(&stream);
    let most = NonZeroU32::new(96 * 1024);
    let report = KernelOptions::default().max_unsent(most).apply(&socket).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(report.max_unsent, most);
        assert_eq!(NonZeroU32::new(socket.tcp_notsent_lowat().unwrap()), most);
        let text = "keepalive off, user timeout off, nodelay on, at most 98304 B unsent";
        assert_eq!(report.to_string(), text);
    } else {
        assert_eq!(report.missing, ["TCP_NOTSENT_LOWAT"]);
    }
    let report = KernelOptions::default().apply(&SockRef::from(&listener)).unwrap();
    assert_eq!(report.max_unsent, None);
}
