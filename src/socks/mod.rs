#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Connect,
    Bind,
    UdpAssociate,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSet(u8);
#[derive(Clone, Debug)]
pub struct Request {
    pub command: Command,
    pub target: crate::target::Target,
}
