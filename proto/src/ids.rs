//! Ids: UUIDs that cannot be mixed up with each other.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Invalid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made elsewhere.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Uuid::try_parse(text).map(Self).map_err(|_| Invalid::new($what, "is not a UUID"))
            }
        }
    };
}

uuid_id!(
    /// A set of programs and nodes that belong together; in the stream's metadata and in every marker.
    ClusterId,
    "cluster id"
);
uuid_id!(
    /// Which life of the journal; a restored journal gets a new one.
    Incarnation,
    "incarnation"
);
uuid_id!(
    /// An event, and the `Nats-Msg-Id` it was published with.
    EventId,
    "event id"
);
uuid_id!(
    /// A top-level folder with its own access list.
    SpaceId,
    "space id"
);
uuid_id!(
    /// A folder; the root folder of a space has the space's UUID.
    FolderId,
    "folder id"
);
uuid_id!(
    /// A file: an identity that survives moves.
    FileId,
    "file id"
);
uuid_id!(
    /// One immutable upload of a file.
    VersionId,
    "version id"
);
uuid_id!(
    /// Immutable bytes: one object on each node that holds them.
    BlobId,
    "blob id"
);
uuid_id!(
    /// What marks one disk of one node: a wiped or swapped disk has another one, or none.
    MarkerId,
    "marker id"
);

impl EventId {
    /// The id of the `n`-th thing that this event brings into being: UUIDv5(event id, n). The fold makes every id this
    /// way, so that each replay makes the same ones.
    pub fn derive(self, n: u32) -> Uuid {
        Uuid::new_v5(&self.0, &n.to_be_bytes())
    }

    /// The id of a request to which the client gave an id of its own: UUIDv5 over actor, space and request id, each with
    /// its length, so that the same request again is the same event.
    pub fn of_request(actor: &str, space: SpaceId, request_id: &str) -> Self {
        let mut name = Vec::with_capacity(actor.len() + request_id.len() + 32);
        for part in [actor.as_bytes(), space.uuid().as_bytes(), request_id.as_bytes()] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name))
    }
}

impl EventId {
    /// The id under which a request is published again when the event with this id was rejected because it was sent
    /// without bytes that turned out to be needed. Made of the first, so that every attempt of the request finds it.
    #[must_use]
    pub fn second_try(self) -> Self {
        Self(self.derive(u32::MAX))
    }

    /// The id of one of the events of a request that is several changes: UUIDv5(event id, n) over the eight bytes of `n`,
    /// so it is none of [`Self::derive`]'s.
    #[must_use]
    pub fn step(self, n: u64) -> Self {
        Self(Uuid::new_v5(&self.0, &n.to_be_bytes()))
    }
}

impl SpaceId {
    /// Stands for the space where an event id is made of a request that concerns no space yet, such as to create one
    /// ([`EventId::of_request`]); no space has it.
    pub const NONE: Self = Self(Uuid::nil());

    /// The space's root folder.
    pub fn root(self) -> FolderId {
        FolderId(self.0)
    }
}

impl BlobId {
    /// When its upload began, by the clock of the gateway that made the id; `None` for an id that has no time in it.
    pub fn began_at(self) -> Option<OffsetDateTime> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let began = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
        Some(began + Duration::from_nanos(nanos.into()))
    }

    /// The object's key on every node: `blobs/<2 hex>/<blob id>`. The two digits are the id's last: its first are a
    /// clock's in a UUIDv7 and would put a whole day into one folder.
    pub fn key(self) -> String {
        let text = self.0.to_string();
        format!("blobs/{}/{text}", &text[text.len() - 2..])
    }

    /// Key of the object that holds the digests of the blob's slices.
    pub fn parts_key(self) -> String {
        format!("{}.parts", self.key())
    }

    /// Key of the tombstone that keeps a late copy from bringing an erased blob back.
    pub fn erased_key(self) -> String {
        format!("erased/{}", self.0)
    }
}
