//! The S3 nodes: MinIO, or the node that this program has built in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use runtime::config::Environment;
use serde::{Deserialize, Serialize};

use crate::Progress;
use crate::data::{Data, make_dir, write_private};
use crate::programs::Programs;

/// The bucket that Highwater uses on every node.
const BUCKET: &str = "highwater";

/// Which program a stack's nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeKind {
    /// MinIO when it is there, else the embedded node; data that exist keep their kind.
    #[default]
    Auto,
    /// MinIO, or nothing.
    Minio,
    /// The node built into this program. Never for production.
    Embedded,
}

/// A node as the services are told: one of `[[nodes]]` in their configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// The node's name, such as `node-a`.
    pub id: String,
    /// Base URL.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Access key.
    pub access_key: String,
    /// File that holds the secret key and nothing else.
    pub secret_key_file: PathBuf,
}

/// How a node's program is started.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) data: PathBuf,
}

impl NodeKind {
    /// What `NODES` says, or `Auto`.
    pub fn from_environment(env: &Environment) -> anyhow::Result<Self> {
        env.var("NODES").map_or(Ok(Self::Auto), str::parse)
    }

    /// Settles `Auto`, and refuses to change the kind of nodes that have data.
    pub(crate) fn settle(self, data: &Data, programs: &Programs) -> anyhow::Result<Self> {
        let record = data.run("nodes-kind");
        let before = std::fs::read_to_string(&record).ok().and_then(|text| text.trim().parse::<Self>().ok());
        let settled = match (self, before) {
            (Self::Auto, Some(before)) => before,
            (Self::Auto, None) if programs.minio().is_some() => Self::Minio,
            (Self::Auto, None) => Self::Embedded,
            (wanted, Some(before)) if wanted != before => bail!(
                "the nodes in {} are {}; {} needs another data directory, or `compose reset`",
                data.root().display(),
                before.name(),
                wanted.name()
            ),
            (wanted, _) => wanted,
        };
        write_private(&record, settled.name().as_bytes())?;
        Ok(settled)
    }

    /// The word that `NODES` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Minio => "minio",
            Self::Embedded => "embedded",
        }
    }
}

impl FromStr for NodeKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "minio" => Ok(Self::Minio),
            "embedded" => Ok(Self::Embedded),
            other => bail!("`{other}` is no kind of node: auto, minio or embedded"),
        }
    }
}

impl NodeEntry {
    /// Reads the secret key from its file.
    pub fn secret_key(&self) -> anyhow::Result<String> {
        let secret = std::fs::read_to_string(&self.secret_key_file);
        let secret = secret.with_context(|| format!("read the secret key of {} from its file", self.id))?;
        Ok(secret.trim().to_owned())
    }

    /// The entry of a node that this stack starts, with random keys made once.
    pub(crate) fn of(data: &Data, id: &str, addr: SocketAddr) -> anyhow::Result<Self> {
        data.secret(id)?;
        Ok(Self {
            id: id.to_owned(),
            endpoint: format!("http://{addr}"),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            access_key: data.secret(&format!("{id}.access"))?.chars().take(20).collect(),
            secret_key_file: data.secret_path(id),
        })
    }
}

/// Reads the `[[nodes]]` of a file; a secret key's relative path is relative to the file.
pub(crate) fn read_nodes_file(path: &Path) -> anyhow::Result<Vec<NodeEntry>> {
    #[derive(Deserialize)]
    struct File {
        nodes: Vec<NodeEntry>,
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read the nodes file {}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("read the nodes file {}", path.display()))?;
    let beside = path.canonicalize().with_context(|| format!("resolve {}", path.display()))?;
    let beside = beside.parent().unwrap_or(Path::new("/")).to_path_buf();
    let resolve = |mut node: NodeEntry| {
        node.secret_key_file = beside.join(&node.secret_key_file);
        node
    };
    Ok(file.nodes.into_iter().map(resolve).collect())
}

pub(crate) fn launch(
    kind: NodeKind,
    data: &Data,
    programs: &Programs,
    compose: &Path,
    node: &NodeEntry,
    progress: &Progress,
) -> anyhow::Result<Launch> {
    let dir = data.node(&node.id);
    make_dir(&dir, 0o700)?;
    let listen = node.endpoint.trim_start_matches("http://").to_owned();
    if kind == NodeKind::Embedded {
        let args = [
            "s3-node".into(),
            "--data".into(),
            dir.clone().into_os_string(),
            "--listen".into(),
            listen.into(),
            "--access-key".into(),
            node.access_key.clone().into(),
            "--secret-key-file".into(),
            node.secret_key_file.clone().into_os_string(),
        ];
        return Ok(Launch { program: compose.to_path_buf(), args: args.into(), env: BTreeMap::new(), data: dir });
    }
    let program = programs.minio().context("no program `minio`: `NODES=minio compose install` builds it")?;
    let home = data.run("minio-home");
    make_dir(&home, 0o700)?;
    let env = [
        ("HOME", home.display().to_string()),
        ("MINIO_ROOT_USER", node.access_key.clone()),
        ("MINIO_ROOT_PASSWORD", node.secret_key()?),
        ("MINIO_BROWSER", "off".to_owned()),
        ("MINIO_UPDATE", "off".to_owned()),
        // Unfinished uploads stay longer than `nats.upload_ttl`, within which they can be resumed.
        ("MINIO_API_STALE_UPLOADS_EXPIRY", "216h".to_owned()),
        // MinIO refuses a folder on the root disk without it.
        ("MINIO_CI_CD", "1".to_owned()),
    ];
    progress.say(format!("{} is {}", node.id, program.display()));
    let args = ["server".into(), dir.clone().into_os_string(), "--address".into(), listen.into()];
    let env = env.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(Launch { program, args: args.into(), env, data: dir })
}

#[cfg(test)]
mod tests {
    use runtime::config::Environment;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Programs of a system that has MinIO, or nothing.
    fn programs(dir: &Path, has_minio: bool) -> Programs {
        let path = dir.join(if has_minio { "with-minio" } else { "without" });
        std::fs::create_dir_all(&path).unwrap();
        if has_minio {
            std::fs::write(path.join("minio"), "").unwrap();
            std::fs::set_permissions(path.join("minio"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = path.display().to_string();
        Programs::new(&Environment::of([("PATH", text.clone()), ("HOME", text)])).of_system(&path)
    }

    #[tokio::test]
    async fn what_is_there_settles_auto_and_what_data_are_of_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (with, without) = (programs(dir.path(), true), programs(dir.path(), false));
        let take = async |name: &str| Data::take(&dir.path().join(name), &Progress::silent()).await.unwrap();
        for (name, asked, programs, settled) in [
            ("with", NodeKind::Auto, &with, NodeKind::Minio),
            ("without", NodeKind::Auto, &without, NodeKind::Embedded),
            ("insists", NodeKind::Minio, &without, NodeKind::Minio),
            ("built-in", NodeKind::Embedded, &with, NodeKind::Embedded),
        ] {
            let data = take(name).await;
            assert_eq!(asked.settle(&data, programs).unwrap(), settled, "{name}");
            // Whatever is installed or removed since.
            for programs in [&with, &without] {
                assert_eq!(NodeKind::Auto.settle(&data, programs).unwrap(), settled, "{name} again");
                assert_eq!(settled.settle(&data, programs).unwrap(), settled, "{name} by its name");
            }
            let other = if settled == NodeKind::Minio { NodeKind::Embedded } else { NodeKind::Minio };
            let refused = other.settle(&data, &with).unwrap_err().to_string();
            assert!(refused.contains(&format!("are {}; {} needs another", settled.name(), other.name())), "{refused}");
            assert_eq!(NodeKind::Auto.settle(&data, &with).unwrap(), settled, "{name} after a refusal");
        }
    }

    #[test]
    fn a_nodes_file_resolves_its_secrets_beside_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.toml");
        let text = "[[nodes]]\nid = \"node-a\"\nendpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\nbucket = \"bbb\"\n\
                    access_key = \"k\"\nsecret_key_file = \"a.secret\"\n";
        std::fs::write(&file, text).unwrap();
        std::fs::write(dir.path().join("a.secret"), "s3cret\n").unwrap();
        let nodes = read_nodes_file(&file).unwrap();
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes[0].secret_key().unwrap(), "s3cret");
        std::fs::write(&file, text.replace("region", "regoin")).unwrap();
        assert!(format!("{:#}", read_nodes_file(&file).unwrap_err()).contains("regoin"));
    }
}
