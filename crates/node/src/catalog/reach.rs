//! Where a process can be reached, and where others are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use muster_proto::limits::ADDRESSES_MAX;
use tokio::net::lookup_host;

/// The addresses that these texts name, in order; what has no meaning here is left out.
pub async fn resolve(texts: &[String]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for text in texts.iter().take(ADDRESSES_MAX) {
        if let Ok(address) = text.parse() {
            addresses.push(address);
        } else if let Ok(found) = lookup_host(text.as_str()).await {
            addresses.extend(found);
        }
    }
    addresses
}

/// What a process that listens at `local` tells others: the address itself, or, if that means every address of its host,
/// those by which the host reaches `far` and the rest of the world.
///
/// Nothing is sent: the system is only asked which way it would send.
pub fn addresses_of(local: SocketAddr, far: &[SocketAddr]) -> Vec<String> {
    if !local.ip().is_unspecified() {
        return vec![local.to_string()];
    }
    // An address that is kept for documentation (RFC 5737): the way to it is the way to everything.
    let world = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let mut addresses = Vec::new();
    for far in far.iter().chain([&world]) {
        if let Some(ip) = near(*far) {
            let address = SocketAddr::new(ip, local.port()).to_string();
            if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                addresses.push(address);
            }
        }
    }
    if addresses.is_empty() {
        addresses.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), local.port()).to_string());
    }
    addresses
}

/// The address of this host on its way to `far`.
fn near(far: SocketAddr) -> Option<IpAddr> {
    let unspecified: IpAddr = match far {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
    socket.connect(far).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_all_is_told_as_one_that_can_be_dialled() {
        let far = SocketAddr::from(([127, 0, 0, 1], 7));
        let told = addresses_of(SocketAddr::from(([0, 0, 0, 0], 9_097)), &[far]);
        assert_eq!(told.first().map(String::as_str), Some("127.0.0.1:9097"));
        let one = SocketAddr::from(([10, 1, 2, 3], 5));
        assert_eq!(addresses_of(one, &[far]), ["10.1.2.3:5"]);
    }
}
