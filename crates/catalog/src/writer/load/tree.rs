//! Spaces, folders, names, files.

use std::collections::{BTreeSet, HashMap};

use fold::View;
use fold::rows::{FileRow, FolderRow, NameRow, SpaceRow, Target};
use proto::{FileId, FolderId, Segment, SpaceId, SpaceName};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::records::{FileColumns, FolderColumns, SpaceColumns, target, unsigned, word};

pub(super) async fn load_spaces(conn: &mut PgConnection, wanted: &[SpaceId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        SpaceColumns,
        "SELECT space_id, name, created_seq, deleted_seq, keep_versions, keep_days FROM spaces WHERE space_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = SpaceRow::try_from(row)?;
        view.spaces.load(row.space_id, Some(row));
    }
    for id in wanted {
        view.spaces.load(*id, None);
    }
    Ok(())
}

pub(super) async fn load_space_names(
    conn: &mut PgConnection,
    wanted: Vec<SpaceName>,
    view: &mut View,
) -> Result<(), Error> {
    let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let rows = sqlx::query_as!(
        SpaceColumns,
        "SELECT space_id, name, created_seq, deleted_seq, keep_versions, keep_days
         FROM spaces WHERE name = ANY($1) AND deleted_seq IS NULL",
        &names
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = SpaceRow::try_from(row)?;
        view.load_space_name(row.name.clone(), Some(row));
    }
    for name in wanted {
        view.load_space_name(name, None);
    }
    Ok(())
}

pub(super) async fn load_folders(conn: &mut PgConnection, wanted: &[FolderId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        FolderColumns,
        "SELECT folder_id, space_id, created_seq, deleted_seq, entries FROM folders WHERE folder_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = FolderRow::try_from(row)?;
        view.folders.load(row.folder_id, Some(row));
    }
    for id in wanted {
        view.folders.load(*id, None);
    }
    Ok(())
}

pub(super) async fn load_files(conn: &mut PgConnection, wanted: &[FileId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        FileColumns,
        "SELECT file_id, space_id, version_id, created_seq, changed_seq, deleted_seq FROM files WHERE file_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = FileRow::try_from(row)?;
        view.files.load(row.file_id, Some(row));
    }
    for id in wanted {
        view.files.load(*id, None);
    }
    Ok(())
}

/// The columns of a current name.
struct NameColumns {
    from_seq: i64,
    target_kind: String,
    target_id: Uuid,
}

fn name_row(parent: FolderId, name: Segment, columns: &NameColumns) -> Result<NameRow, Error> {
    Ok(NameRow {
        parent,
        name,
        from_seq: unsigned("names", "from_seq", columns.from_seq)?,
        to_seq: None,
        target: target(&columns.target_kind, columns.target_id)?,
    })
}

/// One name on the way along a path, with the file that it stands for. All but the first two are none when there is no
/// such name; those of the file, when it stands for none.
struct Step {
    parent_id: Uuid,
    name: String,
    from_seq: Option<i64>,
    target_kind: Option<String>,
    target_id: Option<Uuid>,
    space_id: Option<Uuid>,
    version_id: Option<Uuid>,
    created_seq: Option<i64>,
    changed_seq: Option<i64>,
    deleted_seq: Option<i64>,
}

impl Step {
    /// Takes the step into the view; answers the folders met.
    fn load(self, view: &mut View) -> Result<impl Iterator<Item = FolderId> + use<>, Error> {
        let parent = FolderId::new(self.parent_id);
        let mut folder = None;
        let key = (parent, word::<Segment>("names", "name", &self.name)?);
        let row = match (self.from_seq, self.target_kind, self.target_id) {
            (Some(from_seq), Some(target_kind), Some(target_id)) => {
                Some(name_row(parent, key.1.clone(), &NameColumns { from_seq, target_kind, target_id })?)
            }
            _ => None,
        };
        match row.as_ref().map(|row| row.target) {
            None => {}
            Some(Target::Folder(id)) => folder = Some(id),
            Some(Target::File(id)) => {
                let columns = (self.space_id, self.version_id, self.created_seq, self.changed_seq);
                let (file_id, deleted_seq) = (id.uuid(), self.deleted_seq);
                let file = match columns {
                    (Some(space_id), Some(version_id), Some(created_seq), Some(changed_seq)) => {
                        Some(FileColumns { file_id, space_id, version_id, created_seq, changed_seq, deleted_seq })
                    }
                    _ => None,
                };
                view.files.load(id, file.map(FileRow::try_from).transpose()?);
            }
        }
        view.names.load(key, row);
        Ok([Some(parent), folder].into_iter().flatten())
    }
}

/// Resolves many paths at once, each from a folder on, name by name, down to the first that is not there, with the files at
/// their ends. Answers the folders on the way that the view does not know.
pub(super) async fn load_paths(
    conn: &mut PgConnection,
    wanted: &[(FolderId, Vec<Segment>)],
    view: &mut View,
) -> Result<BTreeSet<FolderId>, Error> {
    let roots: Vec<Uuid> = wanted.iter().map(|(parent, _)| parent.uuid()).collect();
    let joined = |names: &[Segment]| names.iter().map(Segment::as_str).collect::<Vec<_>>().join("/");
    let paths: Vec<String> = wanted.iter().map(|(_, names)| joined(names)).collect();
    let steps = sqlx::query_as!(
        Step,
        r#"WITH RECURSIVE wanted AS (
               SELECT w.i, w.root, string_to_array(w.path, '/') AS segments
               FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS w (root, path, i)
           ),
           walk AS (
               SELECT w.i, w.segments, 1 AS depth, w.root AS parent_id, n.from_seq, n.target_kind, n.target_id
               FROM wanted AS w
               LEFT JOIN LATERAL (
                   SELECT from_seq, target_kind, target_id FROM names
                   WHERE parent_id = w.root AND name = w.segments[1] AND to_seq IS NULL
                   LIMIT 1
               ) AS n ON true
             UNION ALL
               SELECT k.i, k.segments, k.depth + 1, k.target_id, n.from_seq, n.target_kind, n.target_id
               FROM walk AS k
               LEFT JOIN LATERAL (
                   SELECT from_seq, target_kind, target_id FROM names
                   WHERE parent_id = k.target_id AND name = k.segments[k.depth + 1] AND to_seq IS NULL
                   LIMIT 1
               ) AS n ON true
               WHERE k.target_kind = 'folder' AND k.depth < cardinality(k.segments)
           )
           SELECT k.parent_id AS "parent_id!", k.segments[k.depth] AS "name!", k.from_seq AS "from_seq?",
               k.target_kind AS "target_kind?", k.target_id AS "target_id?",
               f.space_id AS "space_id?", f.version_id AS "version_id?", f.created_seq AS "created_seq?",
               f.changed_seq AS "changed_seq?", f.deleted_seq AS "deleted_seq?"
           FROM walk AS k
           LEFT JOIN LATERAL (
               SELECT space_id, version_id, created_seq, changed_seq, deleted_seq FROM files
               WHERE k.target_kind = 'file' AND file_id = k.target_id
               LIMIT 1
           ) AS f ON true"#,
        &roots,
        &paths,
    )
    .fetch_all(conn)
    .await?;
    let mut folders = BTreeSet::new();
    for step in steps {
        folders.extend(step.load(view)?);
    }
    folders.retain(|id| !view.folders.knows(id));
    Ok(folders)
}

pub(super) async fn load_children(
    conn: &mut PgConnection,
    wanted: Vec<(FolderId, Segment)>,
    view: &mut View,
) -> Result<(), Error> {
    let parents: Vec<Uuid> = wanted.iter().map(|(parent, _)| parent.uuid()).collect();
    let names: Vec<String> = wanted.iter().map(|(_, name)| name.to_string()).collect();
    let rows = sqlx::query!(
        r#"SELECT w.i AS "i!", n.from_seq, n.target_kind, n.target_id
           FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS w (parent_id, name, i)
           CROSS JOIN LATERAL (
               SELECT from_seq, target_kind, target_id FROM names
               WHERE parent_id = w.parent_id AND name = w.name AND to_seq IS NULL
               LIMIT 1
           ) AS n"#,
        &parents,
        &names,
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<i64, NameColumns> = rows
        .into_iter()
        .map(|row| {
            (row.i, NameColumns { from_seq: row.from_seq, target_kind: row.target_kind, target_id: row.target_id })
        })
        .collect();
    for (i, key) in (1..).zip(wanted) {
        let row = found.remove(&i).map(|columns| name_row(key.0, key.1.clone(), &columns)).transpose()?;
        view.names.load(key, row);
    }
    Ok(())
}
