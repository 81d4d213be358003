//! In which order the addresses of one target are tried: RFC 8305, "Happy Eyeballs".
//!
//! Both ways to connect use it: the future of tasks (`net/tcp/happy_eyeballs.rs`), and the table's
//! entry of handlers and pools (`connection/connect.rs`).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The time after which the next attempt begins beside one that has no answer: the Connection
/// Attempt Delay that RFC 8305, section 5, recommends. After a failure the next one begins at once.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Returns the addresses in the order of RFC 8305, section 4.
///
/// The address families take turns, beginning with that of the first address, and each family keeps
/// its own order. So if one family leads nowhere, the second attempt is of the other one.
///
/// With a local address only targets of its family can be reached, so the others are left out. If
/// that leaves none, all stay, and fail with the kernel's reason.
pub(crate) fn attempt_order(
    addresses: Vec<SocketAddr>,
    from: Option<SocketAddr>,
) -> VecDeque<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return VecDeque::new() };
    if let Some(from) = from
        && addresses.iter().any(|address| address.is_ipv4() == from.is_ipv4())
    {
        return addresses.into_iter().filter(|it| it.is_ipv4() == from.is_ipv4()).collect();
    }
    // The resolver has sorted by RFC 6724, so that the first address is of the preferred family.
    let (mut ones, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let mut order = VecDeque::with_capacity(ones.len() + others.len());
    while let Some(address) = ones.pop_front() {
        order.push_back(address);
        order.extend(others.pop_front());
    }
    order.append(&mut others);
    order
}

#[cfg(test)]
mod tests {
    use super::attempt_order;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    /// `4` and `6` in `families` stand for addresses, numbered by their place.
    fn addresses(families: &str) -> Vec<SocketAddr> {
        let address = |(port, family): (usize, char)| match family {
            '4' => SocketAddr::from(([127, 0, 0, 1], port as u16)),
            _ => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port as u16)),
        };
        families.chars().enumerate().map(address).collect()
    }

    fn ports(families: &str, from: Option<&str>) -> Vec<u16> {
        let from = from.map(|from| from.parse().expect("an address"));
        attempt_order(addresses(families), from).iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn families_take_turns() {
        assert_eq!(ports("666444", None), [0, 3, 1, 4, 2, 5]);
        assert_eq!(ports("46666", None), [0, 1, 2, 3, 4]);
        assert_eq!(ports("64444", None), [0, 1, 2, 3, 4]);
        assert_eq!(ports("66664", None), [0, 4, 1, 2, 3]);
        assert_eq!(ports("444", None), [0, 1, 2]);
        assert!(ports("", None).is_empty());
    }

    #[test]
    fn a_local_address_leaves_those_of_its_family() {
        assert_eq!(ports("6464", Some("127.0.0.1:0")), [1, 3]);
        assert_eq!(ports("6464", Some("[::1]:0")), [0, 2]);
        assert_eq!(ports("444", Some("[::1]:0")), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn none_is_lost_and_each_family_keeps_its_order(families in "[46]{0,12}") {
            let order = ports(&families, None);
            prop_assert_eq!(order.len(), families.len());
            for family in ['4', '6'] {
                let of = |port: &u16| families.as_bytes()[*port as usize] == family as u8;
                let kept: Vec<u16> = order.iter().copied().filter(of).collect();
                prop_assert!(kept.is_sorted());
                // They take turns until one of them has no more.
                let fewer = families.matches('4').count().min(families.matches('6').count());
                let early = order.iter().take(2 * fewer).filter(|port| of(port)).count();
                prop_assert_eq!(early, fewer);
            }
            prop_assert_eq!(order.first().copied(), (!families.is_empty()).then_some(0));
        }
    }
}
