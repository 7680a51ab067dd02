//! Postgres, the catalog's home: a data directory of its own, TCP on 127.0.0.1 only, a random password.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::answer::{Errand, Terms};
use crate::child::Guards;
use crate::data::{self, Data, barrier, make_dir, write_private};
use crate::programs::{Programs, postgres_major};
use crate::{Progress, tree};

/// The database, and the role that owns it.
pub(crate) const NAME: &str = "highwater";

/// Whether Postgres and the other servers wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// As in production.
    #[default]
    Full,
    /// For tests, which kill programs but never cut the power: Postgres without fsync, from a prepared data directory.
    /// The journal still waits for the disk: it refuses to run otherwise.
    Fast,
}

/// A data directory that is ready to be started.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    pub(crate) bin: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) password: String,
    pub(crate) addr: SocketAddr,
    durability: Durability,
    guards: Guards,
}

impl Postgres {
    /// Finds the programs and makes the data directory when it is missing.
    pub(crate) async fn prepare(
        data: &Data,
        programs: &Programs,
        guards: Guards,
        addr: SocketAddr,
        durability: Durability,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let user = user()?;
        let home = home(data, user, progress)?;
        let pgdata = home.join("pgdata");
        let made_by = std::fs::read_to_string(pgdata.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        let Some(bin) = programs.postgres(made_by) else {
            match made_by {
                Some(major) => bail!("{} was made by Postgres {major}, which is not installed", pgdata.display()),
                None => bail!("postgres is missing: `compose install` says how to install it"),
            }
        };
        let mut postgres = Self { bin, data: pgdata, user, password: String::new(), addr, durability, guards };
        if made_by.is_none() {
            postgres.make(data, programs, &home, progress).await?;
        }
        postgres.password = data.secret("postgres")?;
        Ok(postgres)
    }

    pub(crate) fn args(&self) -> Vec<OsString> {
        let mut args = vec!["-D".into(), self.data.clone().into_os_string()];
        for (key, value) in self.options() {
            args.push("-c".into());
            args.push(format!("{key}={value}").into());
        }
        args
    }

    /// For programs such as `psql` and `createdb`.
    pub(crate) fn client_env(&self) -> BTreeMap<String, String> {
        let env = [
            ("PGHOST", self.addr.ip().to_string()),
            ("PGPORT", self.addr.port().to_string()),
            ("PGUSER", NAME.to_owned()),
            ("PGPASSWORD", self.password.clone()),
            ("LC_ALL", "C".to_owned()),
        ];
        env.map(|(key, value)| (key.to_owned(), value)).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{NAME}:{}@{}/{NAME}", self.password, self.addr)
    }

    /// Makes the database unless it is there.
    pub(crate) async fn create_database(&self) -> anyhow::Result<()> {
        let mut createdb = Errand::new(&self.guards, self.bin.join("createdb"), Terms::default());
        createdb.command().env_clear().envs(self.client_env()).arg(NAME);
        match createdb.answer().await {
            Err(error) if !error.to_string().contains("already exists") => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("listen_addresses", self.addr.ip().to_string()),
            ("port", self.addr.port().to_string()),
            // A socket's path is limited to about 100 bytes, which a data directory may exceed: TCP only.
            ("unix_socket_directories", String::new()),
            ("max_connections", "200".to_owned()),
            ("max_wal_size", "2GB".to_owned()),
            ("logging_collector", "off".to_owned()),
        ];
        if self.durability == Durability::Fast {
            // Not synchronous_commit: without it a killed Postgres forgets what it has just acknowledged.
            for key in ["fsync", "full_page_writes"] {
                options.push((key, "off".to_owned()));
            }
        }
        options
    }

    async fn make(&self, data: &Data, programs: &Programs, home: &Path, progress: &Progress) -> anyhow::Result<()> {
        let unfinished = home.join("pgdata.new");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).with_context(|| format!("delete {}", unfinished.display()))?;
        }
        let template = self.template(programs);
        let copied = self.durability == Durability::Fast && template.join("password").is_file();
        if copied {
            let password = std::fs::read(template.join("password")).context("read the prepared password")?;
            write_private(&data.secret_path("postgres"), &password)?;
            tree::copy(&template.join("pgdata"), &unfinished, self.user)?;
        } else {
            progress.say("making a Postgres data directory");
            self.initdb(&data.secret("postgres")?, home, &unfinished).await?;
            if self.durability == Durability::Fast {
                self.slim(home, &unfinished).await?;
                keep_template(&template, &unfinished, &data.secret("postgres")?)?;
            }
        }
        std::fs::rename(&unfinished, &self.data).with_context(|| format!("move {} into place", unfinished.display()))
    }

    async fn initdb(&self, password: &str, home: &Path, dir: &Path) -> anyhow::Result<()> {
        let file = home.join("password");
        write_private(&file, password.as_bytes())?;
        tree::own(&file, self.user)?;
        let mut initdb = self.errand("initdb", home, None);
        let command = initdb.command();
        command.arg("-D").arg(dir).args(["-U", NAME, "-E", "UTF8", "--locale=C", "--auth=scram-sha-256"]);
        command.arg("--pwfile").arg(&file);
        if self.durability == Durability::Fast {
            command.arg("--no-sync");
        }
        let made = initdb.answer().await.context("make the Postgres data directory");
        std::fs::remove_file(&file).context("delete the file with the password")?;
        made.map(|_| ())
    }

    /// Leaves of the data directory, before its first start, only what a test needs: the database, and the one that others
    /// are made from. Each database is three hundred files, which every test copies and deletes.
    async fn slim(&self, home: &Path, dir: &Path) -> anyhow::Result<()> {
        let statements = home.join("statements");
        let sql = [
            format!("CREATE DATABASE {NAME} TEMPLATE template0"),
            "DROP DATABASE postgres".to_owned(),
            "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'".to_owned(),
            "DROP DATABASE template0".to_owned(),
        ];
        // With `-j`, a statement ends at an empty line.
        let sql = sql.map(|statement| statement + ";\n\n").concat();
        write_private(&statements, sql.as_bytes())?;
        let mut postgres = self.errand("postgres", home, Some(&statements));
        postgres.command().args(["--single", "-j", "-F", "-D"]).arg(dir).arg("template1");
        let made = postgres.answer().await.context("prepare the Postgres data directory");
        std::fs::remove_file(&statements).context("delete the statements")?;
        made.map(|_| ())
    }

    /// One of Postgres's programs, as the user it must run as.
    fn errand(&self, program: &str, dir: &Path, input: Option<&Path>) -> Errand {
        let terms = Terms { user: self.user, input };
        let mut errand = Errand::new(&self.guards, self.bin.join(program), terms);
        errand.command().env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir(dir);
        errand
    }

    /// Where the prepared data directory for tests is kept: one for each major version and way of making it.
    fn template(&self, programs: &Programs) -> PathBuf {
        programs.cache().join("postgres").join(format!("{}-v2", postgres_major(&self.bin).unwrap_or(0)))
    }
}

/// The user that Postgres runs as: it refuses to be root.
fn user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
        (*name == "postgres").then_some((uid.parse().ok()?, gid.parse().ok()?))
    });
    found.map(Some).context("Postgres refuses to run as root, and there is no user `postgres` to run it as")
}

/// The folder that holds the data directory: in the stack's own data, unless its user cannot get there.
fn home(data: &Data, user: Option<(u32, u32)>, progress: &Progress) -> anyhow::Result<PathBuf> {
    let usual = data.root().join("postgres");
    let home = match user.and_then(|(uid, gid)| barrier(data.root(), uid, gid)) {
        None => usual,
        Some(barrier) => {
            let name = hex::encode(&Sha256::digest(data.root().as_os_str().as_encoded_bytes())[..8]);
            let elsewhere = PathBuf::from(format!("/var/lib/highwater/postgres-{name}"));
            progress.say(format!(
                "Postgres's data are in {}: its user cannot enter {}",
                elsewhere.display(),
                barrier.display()
            ));
            elsewhere
        }
    };
    make_dir(&home, 0o700)?;
    tree::own(&home, user)?;
    if !home.starts_with(data.root()) {
        data::mark(&home)?;
        write_private(&data::elsewhere_path(data.root()), home.as_os_str().as_encoded_bytes())?;
    }
    Ok(home)
}

/// Keeps a copy for the next test; another process may be doing the same, and the first one wins.
fn keep_template(template: &Path, pgdata: &Path, password: &str) -> anyhow::Result<()> {
    let new = template.with_extension(format!("new-{}", data::random_hex()));
    make_dir(&new, 0o700)?;
    tree::copy(pgdata, &new.join("pgdata"), None)?;
    write_private(&new.join("password"), password.as_bytes())?;
    if std::fs::rename(&new, template).is_err() {
        std::fs::remove_dir_all(&new).with_context(|| format!("delete {}", new.display()))?;
    }
    Ok(())
}
