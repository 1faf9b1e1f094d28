//! Where a document is kept: a file, or a secret of Secrets Manager.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use latchkey_token::{
    json::{self, Faults, Map, Value},
    keys::AuditKey,
    registrations::Registrations,
    values::{SharedSecret, text_of},
};
use tokio::time::sleep;

use super::{
    document::{Checked, Draft, Format},
    secret::{Secret, Swap},
};
use crate::{
    console::{Failure, block_on, print},
    secrets::write_file,
};

/// How often a change is applied anew to what somebody else has written meanwhile.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// What a secret of Secrets Manager holds at most (PutSecretValue: SecretString).
const MAX_SECRET_BYTES: usize = 65_536;

/// Exactly one of the two is given.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Location {
    /// Work on this file; what adds to it makes it, for its owner alone, when it is missing
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Work on this secret of AWS Secrets Manager (name or ARN); region, credentials and endpoint come from
    /// the usual AWS_* variables
    #[arg(long, value_name = "ID")]
    secret_id: Option<String>,
}

impl Location {
    pub(super) fn place(&self) -> Place {
        match (&self.file, &self.secret_id) {
            (Some(path), _) => Place::File(path.clone()),
            (None, id) => Place::Secret(id.clone().unwrap_or_default()),
        }
    }
}

/// A change that is asked for: to which document, and whether to make it.
#[derive(Args)]
pub(super) struct Change {
    #[command(flatten)]
    location: Location,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Change {
    pub(super) fn of(place: Place, dry_run: bool, json: bool) -> Self {
        let location = match place {
            Place::File(path) => Location { file: Some(path), secret_id: None },
            Place::Secret(id) => Location { file: None, secret_id: Some(id) },
        };
        Self { location, dry_run, json }
    }

    pub(super) fn place(&self) -> Place {
        self.location.place()
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Makes the change as [`Place::edit`] does, or only finds out what it would do.
    pub(super) fn make<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        if self.dry_run { self.place().try_out(change) } else { self.place().edit(change) }
    }

    /// What to call it: what is done, or what would be.
    pub(super) fn verb(&self, done: &'static str, tried: &'static str) -> &'static str {
        if self.dry_run { tried } else { done }
    }

    /// Prints `members` as one JSON object, if that was asked for.
    pub(super) fn tell(&self, members: impl IntoIterator<Item = (&'static str, Value)>) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let mut told: Map<String, Value> =
            members.into_iter().map(|(member, value)| (member.to_owned(), value)).collect();
        if self.dry_run {
            told.insert("dry_run".into(), true.into());
        }
        print(&format!("{}\n", Value::Object(told)))
    }
}

/// What to say of a document that a secret cannot hold: how many clients it could have.
fn too_long<F>(checked: &Checked<F>) -> String {
    let bytes = checked.text().len();
    let clients = checked.list("clients");
    let of_clients: usize = clients.iter().map(|client| client.to_string().len() + 1).sum();
    let room = MAX_SECRET_BYTES.saturating_sub(bytes.saturating_sub(of_clients));
    let said = format!("it would have {bytes} bytes, and a secret of Secrets Manager holds {MAX_SECRET_BYTES}");
    match (room * clients.len()).checked_div(of_clients) {
        Some(fit) => format!(
            "{said}: of {} clients like these, about {fit} fit. Take out those that are not used, or shorten lists in them",
            clients.len()
        ),
        None => said,
    }
}

/// A file that an option names.
pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    let failed = |detail: String| Failure::Place { place: path.display().to_string(), detail };
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    text_of(bytes).map_err(|fault| failed(fault.to_string()))
}

/// The same, as a secret that is shared with others.
pub(super) fn read_shared_secret(path: &Path) -> Result<String, Failure> {
    let secret = SharedSecret::read(&read_file(path)?).map(SharedSecret::into_text);
    secret.map_err(|fault| Failure::Place {
        place: path.display().to_string(),
        detail: format!("the secret is refused: {fault}"),
    })
}

/// The same, as JSON.
pub(super) fn read_json(path: &Path) -> Result<Value, Failure> {
    json::parse(read_file(path)?.as_bytes())
        .map_err(|fault| Failure::Place { place: path.display().to_string(), detail: fault.to_string() })
}

pub(crate) enum Place {
    File(PathBuf),
    Secret(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Secret(id) => write!(f, "secret {id}"),
        }
    }
}

impl Place {
    /// The registrations that are kept there, as functions read them.
    pub(crate) fn registrations(&self) -> Result<Registrations, Failure> {
        Ok(self.load_as_functions_do()?.parsed)
    }

    /// The document as far as it is sound; what is faulty is told.
    pub(super) fn load_as_functions_do<F: Format>(&self) -> Result<Checked<F>, Failure> {
        let mut draft = self.draft()?;
        draft.forgive();
        let checked = self.checked(draft)?;
        self.tell_of_faults(&checked);
        Ok(checked)
    }

    /// The audit key of the document that is kept there, whatever else is wrong with that, if it is a JSON object.
    pub(crate) fn audit_key(&self) -> Result<AuditKey, Failure> {
        let text = self.text()?.ok_or_else(|| self.fail(self.missing()))?;
        AuditKey::of_document(&text).ok_or_else(|| {
            self.fail(
                "has no usable audit key; `latchkey keys generate` makes one, and so does a rotation, if it is missing",
            )
        })
    }

    /// The document, to be looked at: there must be one.
    pub(super) fn load<F: Format>(&self) -> Result<Checked<F>, Failure> {
        self.checked(self.draft()?)
    }

    fn draft<F: Format>(&self) -> Result<Draft<F>, Failure> {
        self.parse(&self.text()?.ok_or_else(|| self.fail(self.missing()))?)
    }

    fn checked<F: Format>(&self, draft: Draft<F>) -> Result<Checked<F>, Failure> {
        draft.check().map_err(|faults| Failure::Unusable { place: self.to_string(), faults })
    }

    fn tell_of_faults<F>(&self, checked: &Checked<F>) {
        for fault in &checked.faults_left {
            eprintln!("warning: {self} has a fault, which stays as it is: {fault}");
        }
    }

    /// Changes the document: reads it, applies `change`, and writes the result if it differs and its parser accepts it.
    /// A missing file and a secret without a value are empty documents.
    ///
    /// In Secrets Manager, somebody else may change the document at the same time. Then `change` is applied again, to
    /// what the other one has written. So what it adds is drawn before, once: a secret that is shown later, or a key.
    pub(super) fn edit<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        self.edit_if(change, |_| Ok(()))
    }

    /// The same, if `accept` finds no fault with the result.
    pub(super) fn edit_if<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
        accept: impl Fn(&F) -> Result<(), Faults>,
    ) -> Result<(Checked<F>, T), Failure> {
        self.edit_if_ahead(change, accept, async |_, _| Ok(()))
    }

    /// The same as [`Place::edit`]; in Secrets Manager, `ahead` is done before the document is replaced, each time that it is
    /// tried. It is given the text that was read and the one to come.
    pub(super) fn edit_ahead<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
        ahead: impl AsyncFn(Option<&str>, &str) -> Result<(), Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        self.edit_if_ahead(change, |_| Ok(()), ahead)
    }

    fn edit_if_ahead<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
        accept: impl Fn(&F) -> Result<(), Faults>,
        ahead: impl AsyncFn(Option<&str>, &str) -> Result<(), Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        let edited = |text: Option<&str>| {
            let (checked, told) = self.edited(text, &change)?;
            accept(&checked.parsed).map_err(|faults| self.refuse(faults.lines().to_vec()))?;
            Ok((checked, told))
        };
        match self {
            Self::File(path) => {
                let (checked, told) = edited(self.read(path)?.as_deref())?;
                if checked.is_changed() {
                    self.write(path, &checked)?;
                }
                Ok((checked, told))
            }
            Self::Secret(id) => block_on(self.edit_secret(id, edited, ahead)),
        }
    }

    /// What [`Place::edit`] would make of the document; writes nothing.
    fn try_out<F: Format, T>(
        &self,
        change: impl Fn(&mut Draft<F>) -> Result<T, Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        self.edited(self.text()?.as_deref(), &change)
    }

    /// The text that is kept there now.
    fn text(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::File(path) => self.read(path),
            Self::Secret(id) => Ok(block_on(async { Secret::open(id).await.read().await })?.map(|held| held.text)),
        }
    }

    fn edited<F: Format, T>(
        &self,
        text: Option<&str>,
        change: &impl Fn(&mut Draft<F>) -> Result<T, Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        if text.is_none() {
            self.tell_that_it_is_new();
        }
        let mut draft = self.parse(text.unwrap_or_default())?;
        let told = change(&mut draft)?;
        let checked = draft.check().map_err(|faults| self.refuse(faults))?;
        if matches!(self, Self::Secret(_)) && checked.text().len() > MAX_SECRET_BYTES {
            return Err(self.refuse(vec![too_long(&checked)]));
        }
        self.tell_of_faults(&checked);
        Ok((checked, told))
    }

    async fn edit_secret<F, T>(
        &self,
        id: &str,
        edited: impl Fn(Option<&str>) -> Result<(Checked<F>, T), Failure>,
        ahead: impl AsyncFn(Option<&str>, &str) -> Result<(), Failure>,
    ) -> Result<(Checked<F>, T), Failure> {
        let secret = Secret::open(id).await;
        let mut said = String::new();
        for _ in 0..TRIES {
            let read = secret.read().await?;
            let before = read.as_ref().map(|held| held.text.as_str());
            let (checked, told) = edited(before)?;
            if !checked.is_changed() {
                return Ok((checked, told));
            }
            ahead(before, checked.text()).await?;
            match secret.swap(read.as_ref(), checked.text()).await? {
                Swap::Done => return Ok((checked, told)),
                Swap::Conflict(answer) => said = answer,
            }
            sleep(PAUSE).await;
        }
        Err(self.fail(format_args!(
            "others have changed it at the same time, {TRIES} times in a row. It is as they have written it, without this \
             change: run the command again. The last answer was: {said}"
        )))
    }

    fn missing(&self) -> &'static str {
        match self {
            Self::File(_) => "does not exist",
            Self::Secret(_) => "has no value yet, or does not exist",
        }
    }

    fn tell_that_it_is_new(&self) {
        match self {
            Self::File(_) => eprintln!("{self} does not exist yet"),
            Self::Secret(_) => eprintln!("{self} has no value yet, or does not exist"),
        }
    }

    fn parse<F: Format>(&self, text: &str) -> Result<Draft<F>, Failure> {
        Draft::parse(text).map_err(|fault| Failure::Unusable { place: self.to_string(), faults: vec![fault] })
    }

    fn refuse(&self, faults: Vec<String>) -> Failure {
        Failure::Refused { place: self.to_string(), faults }
    }

    fn fail(&self, detail: impl fmt::Display) -> Failure {
        Failure::Place { place: self.to_string(), detail: detail.to_string() }
    }

    fn read(&self, path: &Path) -> Result<Option<String>, Failure> {
        match fs::read(path) {
            Ok(bytes) => text_of(bytes).map(Some).map_err(|fault| self.fail(fault)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn write<F>(&self, path: &Path, checked: &Checked<F>) -> Result<(), Failure> {
        write_file(path, &format!("{}\n", checked.indented())).map_err(|error| {
            self.fail(format_args!("{error}; is its directory there, and may you write to it? Nothing was changed"))
        })
    }
}
