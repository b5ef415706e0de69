use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What becomes of a thousand packets, one each millisecond, on a link like this.
fn thousand(profile: &Profile) -> Vec<(Duration, Vec<u8>)> {
    let mut way = Way::new(profile.clone(), profile.seed);
    let packets = (0..1000).flat_map(|n: u16| way.send(ms(n.into()), &n.to_le_bytes()));
    packets.collect()
}

fn share(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / 10.0
}

#[test]
fn a_good_link_changes_nothing() {
    let arrived = thousand(&Profile::default());
    assert!(
        arrived.iter().zip(0..1000).all(|((at, packet), n): (_, u16)| {
            *at == ms(n.into()) && *packet == n.to_le_bytes()
        })
    );
    assert_eq!(arrived.len(), 1000);
}

#[test]
fn the_same_seed_makes_the_same_link() {
    let profile = Profile {
        delay: ms(40),
        jitter: ms(30),
        reorder: 5.0,
        duplicate: 5.0,
        flip: 5.0,
        loss: 5.0,
        seed: 7,
    };
    assert_eq!(thousand(&profile), thousand(&profile));
    assert_ne!(thousand(&profile), thousand(&Profile { seed: 8, ..profile.clone() }));
}

#[test]
fn jitter_keeps_the_order_and_its_bound() {
    let arrived = thousand(&Profile { delay: ms(40), jitter: ms(30), ..Profile::default() });
    assert!(arrived.is_sorted_by_key(|(at, _)| *at));
    for ((at, _), n) in arrived.iter().zip(0..) {
        assert!((ms(n + 40)..ms(n + 71)).contains(at), "packet {n} arrived at {at:?}");
    }
}

#[test]
fn as_many_overtake_come_twice_and_are_lost_as_asked() {
    let delay = ms(40);
    let overtake = thousand(&Profile { delay, reorder: 10.0, ..Profile::default() });
    let overtook = overtake.iter().zip(0..).filter(|((at, _), n)| *at == ms(*n)).count();
    assert!((7.0..13.0).contains(&share(overtook)), "{overtook}");
    let doubled = thousand(&Profile { duplicate: 10.0, ..Profile::default() }).len() - 1000;
    assert!((7.0..13.0).contains(&share(doubled)), "{doubled}");
    let lost = 1000 - thousand(&Profile { loss: 10.0, ..Profile::default() }).len();
    assert!((7.0..13.0).contains(&share(lost)), "{lost}");
}

#[test]
fn a_damaged_packet_differs_in_one_bit() {
    let arrived = thousand(&Profile { flip: 10.0, ..Profile::default() });
    let bits = arrived.iter().zip(0..1000).map(|((_, packet), n): (_, u16)| {
        let arrived = u16::from_le_bytes(packet.as_slice().try_into().unwrap());
        (arrived ^ n).count_ones()
    });
    let bits: Vec<u32> = bits.collect();
    assert!(bits.iter().all(|&bits| bits <= 1));
    let damaged = bits.iter().filter(|&&bits| bits == 1).count();
    assert!((7.0..13.0).contains(&share(damaged)), "{damaged}");
}
