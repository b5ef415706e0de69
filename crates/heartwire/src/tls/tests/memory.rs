//! Memory of a TLS session: when idle, and at most.

use crate::tls::session::{MAX_PENDING, MAX_RECORD, MAX_WRITE, MIN_READ_LEN, Received, TlsSession};
use crate::tls::{SharedServerTls, Tickets};
use allocation_counter::measure;

use super::certificates::{Authority, Serve as _, Trust as _};
use super::pipe::Pipe;
use super::rig::Side;

/// Measured on a 64-bit machine: 3,345 bytes, with [`TlsSession`] itself.
const MAX_IDLE: i64 = 3_400;

/// A server's session whose allocations are counted, and a client whose are not.
struct Metered {
    server: TlsSession,
    /// So that the session is not the last to have it, and to free it.
    _shared: SharedServerTls,
    client: Side,
    to_server: Pipe,
    to_client: Pipe,
    buffer: Vec<u8>,
    /// Bytes of heap that the server's session holds.
    held: i64,
    /// The most that it held at any time.
    peak: i64,
}

impl Metered {
    fn new() -> Self {
        let authority = Authority::new();
        let shared = authority.issue(&["localhost"]).server().load().unwrap();
        let client = TlsSession::client(
            &authority.client().load().unwrap(),
            "localhost",
            &mut Tickets::default(),
        )
        .unwrap();
        let mut server = None;
        let cost = measure(|| server = Some(TlsSession::server(&shared).unwrap()));
        let held = cost.bytes_current;
        Self {
            server: server.unwrap(),
            _shared: shared,
            client: Side::new(client),
            to_server: roomy(),
            to_client: roomy(),
            buffer: vec![0; MIN_READ_LEN],
            held,
            peak: held,
        }
    }

    fn online() -> Self {
        let mut metered = Self::new();
        while metered.client.session.is_handshaking() || metered.server.is_handshaking() {
            metered.turn();
        }
        metered
    }

    fn count(&mut self, work: impl FnOnce(&mut Self)) {
        let cost = measure(|| work(self));
        self.peak = self.peak.max(self.held + i64::try_from(cost.bytes_max).unwrap());
        self.held += cost.bytes_current;
    }

    fn server_turn(&mut self) {
        self.count(|this| {
            while let Ok(Received::Bytes(_)) =
                this.server.read(&mut this.to_server, &mut this.buffer)
            {}
            this.server.flush(&mut this.to_client).unwrap();
        });
    }

    fn turn(&mut self) {
        self.client.turn(&mut self.to_client, &mut self.to_server);
        self.server_turn();
    }

    fn client_says(&mut self, bytes: &[u8]) {
        for record in bytes.chunks(MAX_RECORD) {
            self.client.session.write(&mut self.to_server, record).unwrap();
            self.server_turn();
        }
    }

    fn server_says(&mut self, bytes: &[u8]) {
        for record in bytes.chunks(MAX_RECORD) {
            self.count(|this| {
                this.server.write(&mut this.to_client, record).unwrap();
            });
            self.client.turn(&mut self.to_client, &mut self.to_server);
        }
    }

    /// All it takes, with its own value.
    fn all(&self) -> i64 {
        i64::try_from(size_of::<TlsSession>()).unwrap() + self.held
    }
}

/// A pipe that never allocates for what the sessions put into it.
fn roomy() -> Pipe {
    let mut pipe = Pipe::default();
    pipe.bytes.reserve_exact(200_000);
    pipe
}

#[test]
fn an_idle_session_is_small() {
    let metered = Metered::online();
    println!(
        "an idle session: {} bytes, {} of them the value",
        metered.all(),
        size_of::<TlsSession>()
    );
    assert!(metered.all() <= MAX_IDLE, "{}", metered.all());
}

#[test]
fn a_session_that_has_been_busy_is_as_small_as_before() {
    let mut metered = Metered::online();
    let idle = metered.held;
    metered.client_says(&[0; 40]);
    metered.server_says(&[0; 40]);
    // Queues that have been used once keep their room for a few entries.
    let used = metered.held;
    println!("an idle session that has talked: {} bytes", metered.all());
    assert!(metered.all() <= MAX_IDLE, "{idle} and {}", metered.all());
    for _ in 0..1000 {
        metered.client_says(&[0; 40]);
        metered.server_says(&[0; 40]);
    }
    metered.client_says(&vec![0; 300_000]);
    metered.server_says(&vec![0; 300_000]);
    assert_eq!(metered.held, used);
}

#[test]
fn a_handshake_takes_little() {
    let metered = Metered::online();
    println!("a handshake: {} bytes at most", metered.peak);
    assert!(metered.peak <= 16 * 1024, "{}", metered.peak);
}

#[test]
fn a_record_that_trickles_in_takes_no_more_than_twice_its_length() {
    let mut metered = Metered::online();
    metered.client.session.write(&mut metered.to_server, &[0; MAX_RECORD]).unwrap();
    let (idle, len) = (metered.held, i64::try_from(metered.to_server.bytes.len()).unwrap());
    metered.to_server.portion = 100;
    metered.to_server.bytes.pop_back();
    metered.peak = 0;
    metered.server_turn();
    assert!(metered.server.has_partial());
    assert!(metered.held <= idle + 2 * len, "{} held", metered.held - idle);
    assert!(metered.peak <= idle + 3 * len, "{} at most", metered.peak - idle);
}

#[test]
fn a_handshake_without_end_takes_no_more_than_the_bound_says() {
    let mut metered = Metered::new();
    let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60, 3, 3];
    record.resize(5 + MAX_RECORD, 0);
    for _ in 0..3 {
        metered.to_server.bytes.extend(&record);
    }
    metered.to_server.portion = 100;
    metered.server_turn();
    let bound = i64::try_from(3 * MAX_PENDING + 4096).unwrap();
    assert!(metered.peak <= bound, "{}", metered.peak);
    // Nothing of it is kept once it has been given up.
    metered.server.read(&mut metered.to_server, &mut metered.buffer).unwrap_err();
    assert!(metered.all() < 4096, "{}", metered.all());
}

#[test]
fn a_full_socket_leaves_the_records_of_one_write_behind_at_most() {
    let mut metered = Metered::online();
    let idle = metered.held;
    metered.to_client.capacity = metered.to_client.bytes.len() + 10;
    let most = i64::try_from(MAX_WRITE).unwrap();
    let mut taken = 0;
    for _ in 0..100 {
        metered.count(|this| {
            taken += this.server.write(&mut this.to_client, &[0; 100_000]).unwrap_or(0);
        });
        assert!(metered.held <= idle + most + 1024, "{}", metered.held - idle);
    }
    assert_eq!(taken, MAX_WRITE);
}
