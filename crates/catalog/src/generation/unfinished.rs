//! Generations that a build has left before it was done, and what a generation takes on disk.

use proto::Incarnation;

use super::{Generation, GenerationInfo, Generations, LAYOUT, State, event_types, rules};
use crate::{Checkpoint, Error, ddl};

impl Generations {
    /// Up to where a generation is folded.
    pub async fn checkpoint(&mut self, generation: Generation) -> Result<Checkpoint, Error> {
        ddl::checkpoint(&mut self.conn, generation).await
    }

    /// What a generation takes on disk, in bytes: its tables, their indexes, and their long values.
    pub async fn size_bytes(&mut self, generation: Generation) -> Result<u64, Error> {
        let bytes = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS "bytes!"
               FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
               WHERE s.nspname = $1 AND c.relkind = 'r'"#,
            generation.schema()
        )
        .fetch_one(&mut self.conn)
        .await?;
        Ok(bytes.cast_unsigned())
    }

    /// Generations that are half folded from this journal, the furthest first, by a program whose fold knows just what this
    /// one's does: another build may go on with one, once it has its lock ([`crate::Writer::open_generation`]) and has
    /// looked that the journal still has the event at its checkpoint.
    pub async fn unfinished(&mut self, incarnation: Incarnation) -> Result<Vec<(Generation, Checkpoint)>, Error> {
        let mut found = Vec::new();
        for info in self.list().await?.into_iter().filter(GenerationInfo::is_unfinished) {
            match self.checkpoint(info.generation).await {
                Ok(at) if at.incarnation == incarnation && at.n > 0 => found.push((info.generation, at)),
                Ok(_) => {}
                // Somebody has broken it by hand; what is wrong with the connection is said by the next statement.
                Err(error) => tracing::warn!(
                    generation = info.generation.number(),
                    "nobody can go on with {}: {error}",
                    info.generation
                ),
            }
        }
        found.sort_by_key(|(generation, at)| std::cmp::Reverse((at.n, *generation)));
        Ok(found)
    }
}

impl GenerationInfo {
    fn is_unfinished(&self) -> bool {
        self.state == State::Building
            && self.layout == LAYOUT
            && self.rules == rules().cast_unsigned()
            && self.event_types == event_types()
    }
}
