#[derive(Clone, Debug)]
pub struct Identity {
    user: std::sync::Arc<str>,
}
#[derive(Debug)]
pub struct Users {}
#[derive(Debug)]
pub enum Verdict {
    Accepted(Identity),
    Rejected,
    Overloaded,
}
#[derive(Debug)]
pub struct Credentials {}
pub fn verify(_users: &Users, _credentials: &Credentials) -> Verdict {
    Verdict::Rejected
}
