//! What was given up.

use fold::rows::ReplicaState;
use proto::{BlobId, NodeId};
use uuid::Uuid;

use crate::reader::{Answer, MAX_PAGE, Reader, seen};
use crate::records::{replica_state, unsigned, word};
use crate::{Error, token};

/// A copy or an erasure that nobody works on any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The node.
    pub node: NodeId,
    /// What is not there, or still is.
    pub blob_id: BlobId,
    /// Its size.
    pub size_bytes: u64,
    /// Parked, lost, or erasing.
    pub state: ReplicaState,
    /// Why.
    pub reason: String,
    /// Failed attempts.
    pub attempts: u32,
    /// The event that made it so.
    pub seq: u64,
    /// The space and the path of a file that has this content now, as `space/path`; none when there is none, and when the
    /// first few files that ever got it do not have it any more.
    pub path: Option<String>,
}

/// A page of what was given up, by node and blob.
#[derive(Debug, Clone)]
pub struct GivenUpPage {
    /// The copies and erasures.
    pub given_up: Vec<GivenUp>,
    /// What to ask the next page with; empty on the last one.
    pub next_page_token: String,
}

impl Reader {
    /// A page of the copies that are parked or lost and of the erasures that were given up, of one node or of all. A page
    /// holds `limit` of them, at most [`MAX_PAGE`]; an empty `page_token` asks for the first one.
    pub async fn given_up(&self, node: Option<&NodeId>, limit: u32, page_token: &str) -> Result<GivenUpPage, Error> {
        let scope = ["given_up", node.map(NodeId::as_str).unwrap_or_default()];
        let first = || (node.map(NodeId::as_str).unwrap_or_default().to_owned(), Uuid::nil());
        let after = token::open(&scope, page_token)?.map_or_else(|| Ok(first()), |text| position(&text))?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut given_up = self.given_up_after(node, &after, limit + 1).await?;
        let mut next_page_token = String::new();
        if given_up.len() > limit as usize {
            given_up.truncate(limit as usize);
            let last = given_up.last().map(|last| format!("{}/{}", last.node, last.blob_id));
            next_page_token = last.map(|last| token::seal(&scope, &last)).unwrap_or_default();
        }
        Ok(GivenUpPage { given_up, next_page_token })
    }

    async fn given_up_after(
        &self,
        node: Option<&NodeId>,
        (after_node, after_blob): &(String, Uuid),
        limit: u32,
    ) -> Result<Vec<GivenUp>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query_file!(
                "src/reader/ops/given_up.sql",
                node.map(NodeId::as_str) as Option<&str>,
                after_node,
                after_blob,
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let given_up: Result<Vec<GivenUp>, Error> = rows
                .into_iter()
                .map(|row| {
                    Ok(GivenUp {
                        node: word("replicas", "node", &row.node)?,
                        blob_id: BlobId::new(row.blob_id),
                        size_bytes: unsigned("blobs", "size_bytes", row.size_bytes)?,
                        state: replica_state(&row.state)?,
                        reason: row.reason.unwrap_or_default(),
                        attempts: row.attempts.cast_unsigned(),
                        seq: unsigned("replicas", "seq", row.seq)?,
                        path: row.path,
                    })
                })
                .collect();
            Ok(Answer { seen, value: given_up? })
        })
        .await
    }
}

fn position(text: &str) -> Result<(String, Uuid), Error> {
    let parsed = text.split_once('/').and_then(|(node, blob)| Some((node.to_owned(), blob.parse().ok()?)));
    parsed.ok_or_else(|| Error::PageToken { problem: "holds no node and blob".to_owned() })
}
