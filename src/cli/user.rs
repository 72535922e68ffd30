//! `rustsocks user …`

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::failure::{Failure, print};
use super::password::{new_password, password};
use super::users_edit::UsersEdit;
use crate::auth::{self, Credentials, User, Users, Verdict};
use crate::config::{Settings, parse_users};

/// What is done with users.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is asked for, or is the one line of stdin
    #[command(after_help = "\
Examples:
  rustsocks user add alice --group staff --file data/users
  printf 'change me' | rustsocks user add alice --config /etc/rustsocks/rustsocks.toml")]
    Add {
        #[command(flatten)]
        whose: Whose,
        /// A group that the user is in; may be given several times
        #[arg(short, long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Change a user's password
    #[command(after_help = "Examples:\n  rustsocks user passwd alice --file data/users")]
    Passwd(Whose),
    /// Delete a user; with the proxy running, the user's sessions are ended when it reads the file
    #[command(after_help = "Examples:\n  rustsocks user del alice --file data/users")]
    Del(Whose),
    /// List the users with their groups
    #[command(
        after_help = "Examples:\n  rustsocks user list --config /etc/rustsocks/rustsocks.toml"
    )]
    List(Place),
    /// Check a user's password; the exit status is 1 if it is wrong
    #[command(
        after_help = "Examples:\n  rustsocks user verify alice --file data/users && echo right"
    )]
    Verify(Whose),
}

/// Which user, and where.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The user's name
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Which users: those of one file, or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Place {
    /// The file of users itself
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The configuration that names it as `auth.users_file`; users of the configuration itself are listed and
    /// checked, too, and changed there
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl UserCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add { whose, groups } => add(&whose, &groups),
            Self::Passwd(whose) => passwd(&whose),
            Self::Del(whose) => del(&whose),
            Self::List(place) => list(&place),
            Self::Verify(whose) => verify(&whose),
        }
    }
}

fn add(whose: &Whose, groups: &[String]) -> Result<(), Failure> {
    let path = whose.place.path()?;
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    // The password is asked for before the lock is taken, and not in vain.
    must_be_new(whose, &UsersEdit::begin(&path)?)?;
    let user = with_password(&whose.name, &groups)?;
    let mut edit = UsersEdit::begin(&path)?;
    must_be_new(whose, &edit)?;
    edit.put(&user);
    done(edit, whose, "is added")
}

fn passwd(whose: &Whose) -> Result<(), Failure> {
    let path = whose.place.path()?;
    known(whose, &UsersEdit::begin(&path)?)?;
    let user = with_password(&whose.name, &[])?;
    let mut edit = UsersEdit::begin(&path)?;
    let groups = known(whose, &edit)?.groups();
    edit.put(&user.in_groups(groups));
    done(edit, whose, "has a new password")
}

fn del(whose: &Whose) -> Result<(), Failure> {
    let mut edit = UsersEdit::begin(&whose.place.path()?)?;
    let user = known(whose, &edit)?;
    edit.remove(&user);
    done(edit, whose, "is deleted")
}

/// Makes the change, and says what it was.
fn done(edit: UsersEdit, whose: &Whose, what: &str) -> Result<(), Failure> {
    let path = edit.finish()?;
    print(&format!("{}: {:?} {what}\n", path.display(), whose.name))
}

fn list(place: &Place) -> Result<(), Failure> {
    let mut text = String::new();
    for user in place.users()? {
        text.push_str(&user.name());
        if !user.groups().is_empty() {
            text.push('\t');
            text.push_str(&user.groups().join(","));
        }
        text.push('\n');
    }
    print(&text)
}

fn verify(whose: &Whose) -> Result<(), Failure> {
    let users = Users::new(whose.place.users()?);
    let password = Zeroizing::new(password()?.as_bytes().to_vec());
    let credentials = Credentials::new(whose.name.as_bytes().into(), password);
    match auth::verify(&users, &credentials) {
        Verdict::Accepted(_) => Ok(()),
        Verdict::Rejected | Verdict::Banned | Verdict::Overloaded => {
            Err(Failure::Other("wrong user name or password".to_owned()))
        }
    }
}

fn must_be_new(whose: &Whose, edit: &UsersEdit) -> Result<(), Failure> {
    let name = &whose.name;
    if whose.is_configured()? {
        // The file could not be read beside that any more.
        return Err(Failure::Other(format!("{name:?} is one of `[[auth.users]]`")));
    }
    if edit.find(name).is_none() {
        return Ok(());
    }
    Err(Failure::Other(format!("{name:?} is there already; `user passwd` changes the password")))
}

fn known(whose: &Whose, edit: &UsersEdit) -> Result<User, Failure> {
    let name = &whose.name;
    if let Some(user) = edit.find(name) {
        return Ok(user.clone());
    }
    Err(Failure::Other(match whose.is_configured()? {
        true => {
            format!("{name:?} is one of `[[auth.users]]`, which is changed in the configuration")
        }
        false => format!("there is no user {name:?}"),
    }))
}

fn with_password(name: &str, groups: &[&str]) -> Result<User, Failure> {
    let password = new_password()?;
    let hash =
        auth::hash(password.as_bytes()).map_err(|error| Failure::Other(error.to_string()))?;
    User::for_line(name, &hash, groups).map_err(|error| Failure::Usage(error.to_string()))
}

impl Whose {
    /// Whether the configuration, if that is what is named, has a user of this name itself.
    fn is_configured(&self) -> Result<bool, Failure> {
        let Some(config) = &self.place.config else { return Ok(false) };
        Ok(Settings::lists_user(config, &self.name)?)
    }
}

impl Place {
    /// The file of users.
    fn path(&self) -> Result<PathBuf, Failure> {
        match (&self.file, &self.config) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(config)) => Settings::users_file(config)?.ok_or_else(|| {
                let config = config.display();
                Failure::Usage(format!("{config} names no `auth.users_file`; use --file"))
            }),
            // clap demands one of them.
            (None, None) => Err(Failure::Usage("--file or --config is missing".to_owned())),
        }
    }

    /// Those who are in it, in order; behind those of the configuration itself, if that is what is named.
    fn users(&self) -> Result<Vec<User>, Failure> {
        let (mut users, path) = match (&self.file, &self.config) {
            (None, Some(config)) => {
                let (settings, _) = Settings::load(Some(config))?;
                (settings.auth.listed().to_vec(), settings.auth.users_file)
            }
            (_, _) => (Vec::new(), Some(self.path()?)),
        };
        if let Some(path) = path {
            let text = fs::read_to_string(&path)
                .map(Zeroizing::new)
                .map_err(|error| Failure::File { path: path.display().to_string(), error })?;
            users.extend(parse_users(&path, &text)?.into_iter().map(|(_, user)| user));
        }
        Ok(users)
    }
}
