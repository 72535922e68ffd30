#[derive(Clone, Debug)]
pub struct HostName(Box<str>);
#[derive(Clone, Debug)]
pub enum Host {
    V4(std::net::Ipv4Addr),
    V6(std::net::Ipv6Addr),
    Name(HostName),
}
#[derive(Clone, Debug)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}
