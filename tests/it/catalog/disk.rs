//! Postgres's disk is full for a while: whoever writes says so, nothing is lost, and all go on by themselves once there is
//! room.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tests::{Cluster, Content, run, said, skipped_in_ci_too};

use super::{report, sql};

/// The room on the disk: enough for several generations of little.
const SIZE: &str = "size=64m";

/// A disk of its own with all of the catalog on it; it goes away with its test.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// None when this machine does not let us have one.
    async fn with_catalog(cluster: &Cluster) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "none"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let disk = Self { folder };
        let (tablespace, data) = (disk.folder.path().join("tablespace"), cluster.stack.data_of("postgres"));
        let owner = fs::metadata(data.context("Postgres has no data")?)?;
        fs::create_dir(&tablespace)?;
        for path in [disk.folder.path(), &tablespace] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
        sql(cluster, format!("CREATE TABLESPACE small LOCATION '{}'", tablespace.display())).await?;
        for what in ["TABLE", "INDEX"] {
            sql(cluster, format!("ALTER {what} ALL IN TABLESPACE pg_default SET TABLESPACE small")).await?;
        }
        let default = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_tablespace = small', current_database()); \
                       END $$";
        sql(cluster, default.to_owned()).await?;
        Ok(Some(disk))
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Leaves no room.
    fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        for piece in [vec![0; 64 * 1024], vec![0; 512]] {
            loop {
                match ballast.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn make_room(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Postgres may still have it open; it is gone once that has ended.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        let is_gone = unmounted.is_ok_and(|status| status.success());
        // A second panic would end all tests.
        assert!(is_gone || std::thread::panicking(), "{} is mounted still", self.folder.path().display());
    }
}

#[test]
fn a_full_disk_holds_projector_and_rebuild_up_and_loses_nothing() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "500ms"),
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("before", Content::new(1, 100)).await?;
            let Some(disk) = SmallDisk::with_catalog(cluster).await? else {
                skipped_in_ci_too(
                    "a_full_disk_holds_projector_and_rebuild_up_and_loses_nothing",
                    "only root has disks",
                );
                return Ok(());
            };
            disk.fill()?;
            let mut names = vec!["before".to_owned()];
            let says_so = || {
                let said = fs::read_to_string(cluster.stack.log("projector"));
                said.is_ok_and(|said| said.contains("No space left on device"))
            };
            while !says_so() {
                ensure!(names.len() < 5000, "the disk does not get full");
                let name = format!("d/{}", names.len());
                client.put(&name, Content::new(1, 100)).await?;
                names.push(name);
            }
            // The catalog is behind, and reads what it has.
            assert_eq!(client.get("before").await?, Content::new(1, 100).bytes());
            let refused = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(!refused.status.success() && said(&refused).contains("No space left on device"), "{refused:?}");

            disk.make_room()?;
            cluster.settle_catalog().await;
            for name in [&names[0], &names[1], &names[names.len() - 1]] {
                assert_eq!(client.get(name).await?, Content::new(1, 100).bytes());
            }
            cluster.verify().await?;
            let rebuilt = cluster.projector(&["rebuild", "--switch", "--verify", "--json"]).await?;
            ensure!(rebuilt.status.success(), "{rebuilt:?}");
            assert_eq!(report(&rebuilt)?["switched"], true, "{rebuilt:?}");
            cluster.verify().await?;
            // The database goes before its disk.
            cluster.stack.stop("postgres").await
        },
    );
}
