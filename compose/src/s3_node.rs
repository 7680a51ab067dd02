//! The embedded S3 node: s3s-fs, with what Highwater relies on and s3s-fs lacks put around it.
//!
//! For demos and tests on machines without MinIO. Never for production: it does not wait for the disk, keeps no
//! versions, and lists by walking folders.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use crate::Progress;

mod access;
mod layout;
mod locks;
mod multipart;
mod serve;
mod store;
mod verify;

/// How long requests in flight may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// What the embedded node is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder for the objects
    #[arg(long)]
    pub data: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Access key that requests must be signed with
    #[arg(long)]
    pub access_key: String,
    /// File that holds the secret key
    #[arg(long)]
    pub secret_key_file: PathBuf,
    /// Most connections at once; further ones wait
    #[arg(long, default_value_t = 1024)]
    pub max_connections: usize,
}

/// Runs the node until SIGTERM or Ctrl-C.
pub async fn run(options: Options) -> ExitCode {
    let code = runtime::program::supervise("s3-node", GRACE, async |process| match start(&options).await {
        Ok((listener, service)) => {
            serve::serve(listener, service, options.max_connections, &process.shutdown).await;
            Ok(0_u8.into())
        }
        Err(error) => {
            Progress::stderr().say(format!("s3-node: {error:#}"));
            Ok(1_u8.into())
        }
    });
    ExitCode::from(code.await)
}

async fn start(options: &Options) -> anyhow::Result<(TcpListener, s3s::service::S3Service)> {
    let secret = std::fs::read_to_string(&options.secret_key_file)
        .with_context(|| format!("read the secret key from {}", options.secret_key_file.display()))?;
    let store = store::Store::open(&options.data)?;
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_auth(SimpleAuth::from_single(options.access_key.clone(), secret.trim().to_owned()));
    builder.set_access(access::Access);
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", options.listen))?;
    Progress::stderr().say(format!(
        "embedded S3 node on http://{}, objects in {}",
        options.listen,
        options.data.display()
    ));
    Ok((listener, builder.build()))
}
