use core::ops::Range;

use ppp::{HeaderResult, PartialResult as _};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CLIENT_V4: &str = "192.0.2.7:4711";
const CLIENT_V6: &str = "[2001:db8::7]:4711";

/// A header of version 2 with these bytes behind its first 16.
fn v2_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &len, rest].concat()
}

fn v2_of_v4(extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x1c, 0xe8];
    v2_of(0x21, 0x11, &[&addresses, extensions].concat())
}

fn v2_of_v6() -> Vec<u8> {
    let client: Ipv6Addr = "2001:db8::7".parse().unwrap();
    v2_of(0x21, 0x21, &[&client.octets()[..], &[0; 16], &[0x12, 0x67], &[0, 1]].concat())
}

/// Parses a stream whose reads bring these numbers of bytes at most. Returns the result, and how
/// much was taken.
fn parse(stream: &[u8], splits: &[usize]) -> (Result<Option<Source>, ProxyFault>, usize) {
    let mut header = ProxyHeader::new();
    let (mut taken, mut splits) = (0, splits.iter().cycle());
    loop {
        let most = header.at_least().min(splits.next().copied().unwrap_or(usize::MAX)).max(1);
        let bytes = &stream[taken..stream.len().min(taken + most)];
        if bytes.is_empty() {
            return (Ok(None), taken);
        }
        taken += bytes.len();
        match header.take(bytes) {
            Ok(None) => assert!(header.at_least() > 0, "it waits for nothing after {taken} bytes"),
            end => return (end, taken),
        }
    }
}

fn client(addr: &str) -> Result<Option<Source>, ProxyFault> {
    Ok(Some(Source::Client(addr.parse().unwrap())))
}

/// Asserts what a header comes to, followed by other bytes, and split after any byte.
#[track_caller]
fn expect(header: &[u8], result: Result<Option<Source>, ProxyFault>) {
    let stream = [header, b"\x02\x00\x00\x00\x00\x00\x00\x00"].concat();
    for split in 1..=header.len() {
        let (found, taken) = parse(&stream, &[split]);
        assert_eq!(found, result, "{} in {split}", header.escape_ascii());
        if result.is_ok() {
            assert_eq!(taken, header.len(), "{} in {split}", header.escape_ascii());
        }
    }
}

#[test]
fn header_tells_the_clients_address_in_both_versions() {
    expect(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 7400\r\n", client(CLIENT_V4));
    expect(b"PROXY TCP6 2001:db8::7 ::1 4711 7400\r\n", client(CLIENT_V6));
    expect(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 7400\r\n", client(CLIENT_V4));
    expect(&v2_of_v4(&[]), client(CLIENT_V4));
    expect(&v2_of_v6(), client(CLIENT_V6));
}

#[test]
fn header_of_the_balancers_own_connection_tells_no_client() {
    let own = Ok(Some(Source::Balancer));
    expect(b"PROXY UNKNOWN\r\n", own);
    expect(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", own);
    expect(&v2_of(0x20, 0, &[]), own);
    // Whatever its addresses are.
    expect(&v2_of(0x20, 0x11, &[1; 12]), own);
    expect(&v2_of(0x20, 0xff, &[1; 3]), own);
    expect(&v2_of(0x21, 0, &[]), own);
    // Unix sockets.
    expect(&v2_of(0x21, 0x31, &[7; 216]), own);
}

#[test]
fn extensions_are_skipped_up_to_4_kib() {
    let most = usize::from(MAX_REST_LEN) - 12;
    for len in [1, 24, 25, 200, most] {
        let header = v2_of_v4(&vec![0xee; len]);
        for splits in [&[usize::MAX][..], &[7, 1]] {
            let (found, taken) = parse(&[&header[..], b"frame"].concat(), splits);
            assert_eq!((found, taken), (client(CLIENT_V4), header.len()), "{len}");
        }
    }
    assert_eq!(parse(&v2_of_v4(&vec![0; most + 1]), &[]).0, Err(ProxyFault::TooLong));
}

#[test]
fn header_that_is_not_as_specified_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 4711 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 7400 1\r\n",
        "PROXY TCP4 192.0.2.7  4711 7400\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 4711 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +4711 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 04711 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 \r\n",
        "PROXY TCP4 2001:db8::7 ::1 4711 7400\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 4711 7400\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.\u{661} 4711 7400\r\n",
    ] {
        expect(line.as_bytes(), Err(ProxyFault::Malformed));
    }
    expect(&v2_of(0x22, 0x11, &[0; 12]), Err(ProxyFault::Malformed));
    expect(&v2_of(0x11, 0x11, &[0; 12]), Err(ProxyFault::Malformed));
    expect(&v2_of(0x21, 0x12, &[0; 12]), Err(ProxyFault::Malformed));
    expect(&v2_of(0x21, 0x11, &[0; 11]), Err(ProxyFault::Malformed));
    expect(&v2_of(0x21, 0x21, &[0; 35]), Err(ProxyFault::Malformed));
}

#[test]
fn bytes_that_begin_no_header_are_refused_at_the_first_that_differs() {
    for (stream, at) in [
        (&b"\x02\0\0\0\0\0\0\0"[..], 1),
        (b"\x16\x03\x01", 1),
        (b"PROXYTCP4", 6),
        (b"POST /", 2),
        (b"\r\n\r\n\0\r\nQUIT ", 12),
    ] {
        let bytewise = parse(stream, &[1]);
        assert_eq!(bytewise, (Err(ProxyFault::Missing), at), "{}", stream.escape_ascii());
    }
}

#[test]
fn line_of_version_1_ends_after_107_bytes_at_most() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "7".repeat(MAX_V1_LEN - 16));
    assert_eq!(longest.len(), MAX_V1_LEN);
    expect(longest.as_bytes(), Ok(Some(Source::Balancer)));
    let endless = format!("PROXY UNKNOWN {}", "7".repeat(1000));
    let (found, taken) = parse(endless.as_bytes(), &[]);
    assert_eq!(found, Err(ProxyFault::TooLong));
    assert!(taken <= MAX_V1_LEN, "{taken}");
}

/// Bytes near a header: a valid one with some of its bytes changed and cut.
fn near_header() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        (any::<[u8; 4]>(), any::<(u16, u16)>(), any::<bool>()).prop_map(|(ip, ports, is_v6)| {
            let ip = Ipv4Addr::from(ip);
            let (family, ip) = match is_v6 {
                true => ("TCP6", ip.to_ipv6_compatible().to_string()),
                false => ("TCP4", ip.to_string()),
            };
            format!("PROXY {family} {ip} {ip} {} {}\r\n", ports.0, ports.1).into_bytes()
        }),
        (0x1f_u8..0x23, prop::sample::select(vec![0, 0x11, 0x12, 0x21, 0x31]), 0_usize..300)
            .prop_map(|(command, family, len)| v2_of(command, family, &vec![7; len])),
    ];
    let change = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (valid, change, vec(any::<u8>(), 0..20)).prop_map(|(mut bytes, changes, behind)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(behind);
        bytes
    })
}

proptest! {
    /// Also that nothing panics, and that it ends within its bounds.
    #[test]
    fn header_comes_to_the_same_however_it_is_split(
        stream in prop_oneof![near_header(), vec(any::<u8>(), 0..200)],
        splits in vec(1_usize..40, 1..8),
    ) {
        let whole = parse(&stream, &[]);
        prop_assert!(whole.1 <= V2_LEN + usize::from(MAX_REST_LEN));
        let split = parse(&stream, &splits);
        // How far one that is not valid is read may differ.
        prop_assert_eq!(whole.0, split.0);
        if whole.0.is_ok() {
            prop_assert_eq!(whole.1, split.1);
        }
    }

    /// The tunnel writes headers with the crate `ppp`, which reads them too.
    #[test]
    fn header_comes_to_the_same_as_for_another_parser(stream in near_header()) {
        const LINE: Range<usize> = 0..MAX_V1_LEN;
        let (found, taken) = parse(&stream, &[]);
        let other = HeaderResult::parse(&stream);
        let Ok(Some(source)) = found else { return Ok(()) };
        let Source::Client(client) = source else { return Ok(()) };
        prop_assert!(other.is_complete(), "{:?}", other);
        let other = match &other {
            HeaderResult::V1(Ok(header)) => {
                prop_assert!(LINE.contains(&header.header.len()));
                prop_assert_eq!(header.header.len(), taken);
                match header.addresses {
                    ppp::v1::Addresses::Tcp4(of) => (of.source_address.into(), of.source_port),
                    ppp::v1::Addresses::Tcp6(of) => (of.source_address.into(), of.source_port),
                    ppp::v1::Addresses::Unknown => panic!("{other:?}"),
                }
            }
            HeaderResult::V2(Ok(header)) => {
                prop_assert_eq!(header.len(), taken);
                match header.addresses {
                    ppp::v2::Addresses::IPv4(of) => (of.source_address.into(), of.source_port),
                    ppp::v2::Addresses::IPv6(of) => (of.source_address.into(), of.source_port),
                    ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_) => {
                        panic!("{other:?}")
                    }
                }
            }
            HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => panic!("{other:?}"),
        };
        prop_assert_eq!(Source::client(other.0, other.1), Source::Client(client));
    }
}
