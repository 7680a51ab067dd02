//! One client: what it asks for, and what it sees meanwhile.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use proto::Sequence;
use proto::v1::{self, OnConflict, Receipt};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tests::{Client, eventually, reason_of};
use tonic::Status;

use super::model::{self, Place};
use super::operation::{Asked, Kind, Operation};

/// The files that everybody wants.
pub(super) const NAMES: [&str; 5] = ["f0", "f1", "d0/f", "d1/f", "d0/sub/f"];
/// Folders go between a few places, and never deeper into each other, so that names stay few.
const FOLDER_MOVES: [(&str, &str); 10] = [
    ("d0", "d1"),
    ("d1", "d0"),
    ("d0", "e"),
    ("e", "d0"),
    ("d1", "e"),
    ("e", "d1"),
    ("d0/sub", "d1/sub"),
    ("d1/sub", "d0/sub"),
    ("d0", "d0/sub/d0"),
    ("d1", "d1"),
];
/// Mostly the one that nobody makes by uploading: else no folder could go there any more.
const DELETED_FOLDERS: [&str; 4] = ["e", "e", "d0", "d1"];
/// One of so many answers is asked for again, from the other gateway.
const AGAIN_EVERY: u32 = 16;

/// A client's session, in order.
#[derive(Debug)]
pub(super) enum Step {
    /// A change was answered: what comes later sees it.
    Answered(u64),
    Saw(Seen),
}

/// What a read showed of the present.
#[derive(Debug)]
pub(super) enum Seen {
    File(&'static str, Option<Place>),
    /// All files, see [`model::listing_of`].
    Listing(u64),
}

/// What one client did, was told, and saw.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) asked: Vec<Asked>,
    pub(super) session: Vec<Step>,
    pub(super) answered_again: u64,
}

/// A client between two gateways.
#[derive(Debug)]
pub(super) struct Player {
    own: Client,
    other: Client,
    random: StdRng,
    actor: String,
    log: Log,
    /// The last change that was answered.
    newest: String,
    /// Versions seen earlier: to swap one that is long gone.
    remembered: HashMap<&'static str, String>,
}

impl Player {
    pub(super) fn new(own: Client, other: Client, seed: u64, n: u64) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_add(n));
        let (log, newest, remembered) = (Log::default(), String::new(), HashMap::new());
        Self { own, other, random, actor: format!("client-{n}"), log, newest, remembered }
    }

    pub(super) async fn play(mut self, changes: u64) -> anyhow::Result<Log> {
        for n in 0..changes {
            let operation = self.choose(n).await?;
            self.ask(operation).await?;
            match self.random.random_range(0..8) {
                0 => {
                    self.look(last_name(&self.log)).await?;
                }
                1 => self.look_elsewhere(last_name(&self.log)).await?,
                2 => self.list().await?,
                _ => {}
            }
        }
        Ok(self.log)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    async fn choose(&mut self, n: u64) -> anyhow::Result<Operation> {
        let mut operation = Operation {
            kind: Kind::CreateOnly,
            path: self.pick(&NAMES),
            to: "",
            if_version: String::new(),
            on_conflict: OnConflict::Fail,
            request_id: format!("{}-{n}", self.actor),
            actor: self.actor.clone(),
        };
        match self.random.random_range(0..20) {
            0..=5 => {}
            6..=9 => {
                // Without a version to compare with it stays one that only makes new files.
                if let Some(base) = self.base(operation.path).await? {
                    operation.kind = Kind::Swap;
                    operation.if_version = base;
                    operation.on_conflict = self.pick(&[OnConflict::Overwrite, OnConflict::Fail]);
                }
            }
            10..=13 => {
                operation.kind = Kind::Move;
                operation.to = self.pick(&NAMES);
                operation.on_conflict = self.pick(&[OnConflict::Overwrite, OnConflict::Fail]);
            }
            14..=16 => operation.kind = Kind::Delete,
            17 | 18 => {
                operation.kind = Kind::MoveFolder;
                (operation.path, operation.to) = self.pick(&FOLDER_MOVES);
                operation.on_conflict = self.pick(&[OnConflict::Overwrite, OnConflict::Fail]);
            }
            _ => {
                operation.kind = Kind::DeleteFolder;
                operation.path = self.pick(&DELETED_FOLDERS);
            }
        }
        Ok(operation)
    }

    /// What to swap: mostly the present version, at times one that was seen long ago.
    async fn base(&mut self, path: &'static str) -> anyhow::Result<Option<String>> {
        if self.random.random_range(0..8) > 0
            && let Some(place) = self.look(path).await?
        {
            let version = place.version_id.to_string();
            if self.random.random_range(0..4) == 0 {
                self.remembered.insert(path, version.clone());
            }
            return Ok(Some(version));
        }
        Ok(self.remembered.get(path).cloned())
    }

    async fn ask(&mut self, operation: Operation) -> anyhow::Result<()> {
        let answer = match operation.send(&mut self.own).await {
            Ok(receipt) => {
                ensure!(receipt.projected, "a change of this kind is answered only when it is decided: {receipt:?}");
                let sequence: Sequence = receipt.sequence.parse()?;
                self.log.session.push(Step::Answered(sequence.n));
                self.newest.clone_from(&receipt.sequence);
                if self.random.random_range(0..AGAIN_EVERY) == 0 {
                    self.ask_again(&operation, &receipt).await?;
                }
                Ok(receipt)
            }
            Err(status) => {
                let reason = reason_of(&status);
                // Whatever has its content with it has nothing that could be missing.
                ensure!(reason == "file_not_found" && !operation.kind.is_upload(), "{operation:?}: {status:?}");
                if !operation.kind.is_of_folder() {
                    self.log.session.push(Step::Saw(Seen::File(operation.path, None)));
                }
                Err(reason)
            }
        };
        self.log.asked.push(Asked { operation, answer });
        Ok(())
    }

    /// The same request once more, at the other gateway, as after a lost answer: it is the same change.
    async fn ask_again(&mut self, operation: &Operation, first: &Receipt) -> anyhow::Result<()> {
        let again = operation.send(&mut self.other).await;
        let again = again.with_context(|| format!("{operation:?} again, after {first:?}"))?;
        let of = |receipt: &Receipt| {
            let Receipt { event_id, sequence, reason, path, file_id, version_id, .. } = receipt.clone();
            (event_id, sequence, receipt.outcome(), reason, path, file_id, version_id)
        };
        ensure!(of(&again) == of(first), "{operation:?} was answered {first:?}, then {again:?}");
        self.log.answered_again += 1;
        Ok(())
    }

    /// Reads a file, without saying what it must have seen.
    async fn look(&mut self, path: &'static str) -> anyhow::Result<Option<Place>> {
        let request = v1::GetFileRequest { path: path.to_owned(), ..Default::default() };
        let place = place_of(self.own.files.get_file(request).await.map(tonic::Response::into_inner))?;
        self.log.session.push(Step::Saw(Seen::File(path, place)));
        Ok(place)
    }

    /// Reads a file at the other gateway, which must have seen all that this client was answered.
    async fn look_elsewhere(&mut self, path: &'static str) -> anyhow::Result<()> {
        let min_sequence = self.newest.clone();
        let request = v1::GetFileRequest { path: path.to_owned(), min_sequence, ..Default::default() };
        let answer = eventually("the other gateway has seen it", async || {
            match self.other.files.get_file(request.clone()).await {
                Err(status) if reason_of(&status) == "catalog_behind" => Err(status),
                answer => Ok(answer.map(tonic::Response::into_inner)),
            }
        });
        let place = place_of(answer.await)?;
        self.log.session.push(Step::Saw(Seen::File(path, place)));
        Ok(())
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        let client = if self.random.random_range(0..2) == 0 { &mut self.own } else { &mut self.other };
        // One page, which is of one moment.
        let request = v1::ListFilesRequest { page_size: 10_000, ..Default::default() };
        let page = client.files.list_files(request).await?.into_inner();
        ensure!(page.next_page_token.is_empty(), "more names than one page holds");
        self.log.session.push(Step::Saw(Seen::Listing(model::listing_of_files(&page.files)?)));
        Ok(())
    }
}

/// Where the last change was: there something may have happened.
fn last_name(log: &Log) -> &'static str {
    let operation = log.asked.last().map(|asked| &asked.operation);
    let near = |name: &&&str| operation.is_some_and(|operation| name.starts_with(operation.path));
    NAMES.iter().find(near).copied().unwrap_or(NAMES[0])
}

fn place_of(answer: Result<v1::GetFileResponse, Status>) -> anyhow::Result<Option<Place>> {
    match answer {
        Ok(answer) => Ok(Some(Place::of(&answer.file.context("an answer without a file")?)?)),
        Err(status) if reason_of(&status) == "file_not_found" => Ok(None),
        Err(status) => Err(status.into()),
    }
}
