//! Hosts of a test's own: network namespaces on one bridge, each of which can be cut off.
//!
//! Only root may make them, and only where iproute2 is installed; elsewhere such a test skips, and says so.

use std::process::{Command, Stdio};

/// A network of some hosts.
pub struct Net {
    number: u32,
    hosts: u8,
}

impl Net {
    /// Makes a network; nothing, said aloud, if that is not possible here.
    pub fn new(hosts: u8) -> Option<Net> {
        // Two tests at once must not meet.
        let number = std::process::id() % 60_000;
        let net = Net { number, hosts };
        let is_made = net.make();
        if !is_made {
            println!("skipped: no network can be made here");
        }
        is_made.then_some(net)
    }

    fn make(&self) -> bool {
        let bridge = self.bridge();
        let own = format!("{}/24", self.address(254));
        let mut lines = vec![
            format!("link add {bridge} type bridge"),
            format!("addr add {own} dev {bridge}"),
            format!("link set {bridge} up"),
        ];
        for host in 0..self.hosts {
            let (space, port) = (self.space(host), self.port(host));
            let address = format!("{}/24", self.address(host + 1));
            lines.extend([
                format!("netns add {space}"),
                format!("link add {port} type veth peer name eth0 netns {space}"),
                format!("link set {port} master {bridge} up"),
                format!("-n {space} link set lo up"),
                format!("-n {space} addr add {address} dev eth0"),
                format!("-n {space} link set eth0 up"),
                format!("-n {space} route add default via {}", self.address(254)),
            ]);
        }
        lines.iter().all(|line| ip(line))
    }

    /// The words before a command that is to run on a host.
    pub fn within(&self, host: u8) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(host)]
            .map(str::to_owned)
            .into()
    }

    /// The address of a host.
    pub fn host(&self, host: u8) -> String {
        self.address(host + 1)
    }

    /// Cuts a host off from all others.
    pub fn cut(&self, host: u8) {
        assert!(ip(&format!("link set {} down", self.port(host))));
    }

    /// Puts it on the network again.
    pub fn mend(&self, host: u8) {
        assert!(ip(&format!("link set {} up", self.port(host))));
    }

    fn bridge(&self) -> String {
        format!("mstb{}", self.number)
    }

    fn space(&self, host: u8) -> String {
        format!("mst{}-{host}", self.number)
    }

    fn port(&self, host: u8) -> String {
        format!("mstv{}-{host}", self.number)
    }

    fn address(&self, last: u8) -> String {
        format!(
            "10.{}.{}.{last}",
            77 + self.number / 250 % 100,
            self.number % 250
        )
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            // Removing a namespace removes what is in it, the other end of the port as well.
            ip(&format!("netns del {}", self.space(host)));
            ip(&format!("link del {}", self.port(host)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}

fn ip(line: &str) -> bool {
    let status = Command::new("ip")
        .args(line.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
