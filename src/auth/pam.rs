//! What PAM says of a login.
//!
//! Primer. A service is a file below `/etc/pam.d`: a stack of modules, which are loaded into this process
//! and ask back through a conversation. All that they can ask of a proxy's client is its password, so
//! every hidden question is answered with that, and to any other there is no answer. A module may
//! block, sleep after a wrong password, start programs and open files, so this is for threads that may,
//! too. The account is asked about as well as the password: it may have ended.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;

use nonstick::items::{Items, ItemsMut};
use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Result, Transaction, TransactionBuilder,
};
use zeroize::Zeroizing;

pub(super) const BUILT_IN: bool = true;

/// What PAM says of a login.
pub(super) enum Answer {
    /// The user is let in.
    Right,
    /// The user is not.
    Wrong,
    /// Nobody could tell.
    Unknown,
}

/// Asks a service whether it lets this user in with this password, from there. No text holds a NUL.
pub(super) fn ask(service: &str, user: &str, password: &[u8], client: IpAddr) -> Answer {
    match asked(service, user, password, client) {
        Ok(true) => Answer::Right,
        Ok(false) => {
            tracing::warn!("the PAM service {service:?} has made somebody else of {user:?}");
            Answer::Wrong
        }
        Err(error) => match kind(error) {
            Kind::Plain => Answer::Wrong,
            Kind::Odd => {
                tracing::warn!("the PAM service {service:?} refuses {user:?}: {error}");
                Answer::Wrong
            }
            Kind::Broken => {
                tracing::warn!("the PAM service {service:?} cannot answer: {error}");
                Answer::Unknown
            }
        },
    }
}

/// Whether the user that is let in is the one that was asked about: a module may change the name.
fn asked(service: &str, user: &str, password: &[u8], client: IpAddr) -> Result<bool> {
    let answers = Answers(Zeroizing::new(password.to_vec())).into_conversation();
    let mut transaction =
        TransactionBuilder::new_with_service(service).username(user).build(answers)?;
    let client = OsString::from(client.to_string());
    transaction.items_mut().set_remote_host(Some(&client))?;
    let flags = || AuthnFlags::SILENT | AuthnFlags::DISALLOW_NULL_AUTHTOK;
    transaction.authenticate(flags())?;
    transaction.account_management(flags())?;
    Ok(transaction.items().user()?.as_deref() == Some(OsStr::new(user)))
}

enum Kind {
    /// A wrong password, an unknown user, or one who may not.
    Plain,
    /// The same, or a fault of the service: `pam_exec` says so of a program that has said no.
    Odd,
    /// The service did not look at the password.
    Broken,
}

/// What is not certainly a fault counts as a wrong password: nobody gets around a ban by it.
#[expect(clippy::wildcard_enum_match_arm, reason = "PAM may learn of more")]
const fn kind(error: ErrorCode) -> Kind {
    match error {
        ErrorCode::AuthenticationError
        | ErrorCode::UserUnknown
        | ErrorCode::PermissionDenied
        | ErrorCode::AccountExpired
        | ErrorCode::NewAuthTokRequired
        | ErrorCode::AuthTokExpired
        | ErrorCode::CredentialsExpired
        | ErrorCode::MaxTries => Kind::Plain,
        ErrorCode::OpenError
        | ErrorCode::SymbolError
        | ErrorCode::BufferError
        | ErrorCode::AuthInfoUnavailable
        | ErrorCode::CredentialsInsufficient
        | ErrorCode::ConversationError
        | ErrorCode::ModuleUnknown
        | ErrorCode::Abort => Kind::Broken,
        _ => Kind::Odd,
    }
}

/// What modules are told.
struct Answers(Zeroizing<Vec<u8>>);

impl ConversationAdapter for Answers {
    fn prompt(&self, _request: impl AsRef<OsStr>) -> Result<OsString> {
        Err(ErrorCode::ConversationError)
    }

    fn masked_prompt(&self, _request: impl AsRef<OsStr>) -> Result<OsString> {
        Ok(OsString::from_vec(self.0.to_vec()))
    }

    fn error_msg(&self, _message: impl AsRef<OsStr>) {}

    fn info_msg(&self, _message: impl AsRef<OsStr>) {}
}
