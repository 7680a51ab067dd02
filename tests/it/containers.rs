//! The container files say what the runner does, ask for every secret, and build what they run.

mod docker;
mod file;
mod nats;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cargo_metadata::{Metadata, MetadataCommand, TargetKind};
use compose::{NodeEntry, Stack};
use serde_json::Value;
use tests::{Cluster, run_as_shipped};

use docker::DockerCompose;
use file::{File, Service, Unset, env_file, load, root, text};

/// What docker-compose.yml and the runner both call our long-running programs.
const PROGRAMS: [&str; 3] = ["gateway", "projector", "replicator"];
/// The programs that run to their end, as the runner calls them before it starts the services.
const JOBS: [(&str, [&str; 2]); 2] =
    [("projector-migrate", ["projector", "migrate"]), ("gateway-init", ["gateway", "init"])];
/// What a container must say otherwise than a process on 127.0.0.1 that writes for people.
const CONTAINERS_OWN: [&str; 2] = ["HIGHWATER_LISTEN", "HIGHWATER_TELEMETRY__FORMAT"];

/// The variables that a user must give, with values that tell which is which.
fn given() -> BTreeMap<String, String> {
    env_file(&text("compose/.env.example")).into_keys().map(|name| (name.clone(), format!("value-of-{name}"))).collect()
}

fn file() -> File {
    load(&given()).unwrap()
}

fn is_job(name: &str) -> bool {
    JOBS.iter().any(|(job, _)| *job == name)
}

fn is_ours(service: &Service) -> bool {
    service.build.is_some()
}

fn workspace() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn keys(env: &BTreeMap<String, String>) -> BTreeSet<&str> {
    env.keys().map(String::as_str).collect()
}

#[test]
fn services_and_their_environment_are_the_runners() {
    run_as_shipped(
        |builder| builder,
        async |cluster| {
            let file = file();
            let rows = cluster.stack.ps();
            let runners: BTreeSet<&str> = rows.iter().map(|row| service_of(&row.name)).collect();
            let ours: BTreeSet<&str> = file.services.keys().map(String::as_str).filter(|name| !is_job(name)).collect();
            ensure!(ours == runners, "docker-compose.yml has {ours:?}, the runner {runners:?}");
            let replicators = rows.iter().filter(|row| service_of(&row.name) == "replicator").count();
            ensure!(file.services["replicator"].scale == Some(replicators), "the runner has {replicators} replicators");
            for name in PROGRAMS {
                let (container, runner) = (&file.services[name].environment, cluster.stack.env_for(name)?);
                ensure!(keys(container) == keys(&runner), "{name}: {container:?}, not {runner:?}");
                ensure!(file.services[name].command == [name], "the runner starts {name} without arguments");
            }
            for (job, command) in JOBS {
                let (job, program) = (&file.services[job], &file.services[command[0]]);
                ensure!(job.command == command, "{:?}, not {command:?}", job.command);
                ensure!(
                    job.environment == program.environment,
                    "{command:?} is told something else than {}",
                    command[0]
                );
            }
            the_values_are_the_runners(&file, cluster).await?;
            the_health_checks_find_the_connections(&file, cluster)
        },
    );
}

/// Given servers at the containers' addresses, the runner tells the programs what docker-compose.yml tells them.
async fn the_values_are_the_runners(file: &File, cluster: &Cluster) -> anyhow::Result<()> {
    let given = given();
    let value = |name: String| given.get(&name).cloned().with_context(|| format!("no {name}"));
    let mut nodes = Vec::new();
    for node in cluster.stack.nodes() {
        let variable = node.id.to_uppercase().replace('-', "_");
        let (access, secret) = (value(format!("{variable}_ACCESS_KEY"))?, value(format!("{variable}_SECRET_KEY"))?);
        let server = &file.services[&node.id];
        ensure!(server.environment["MINIO_ROOT_USER"] == access && server.environment["MINIO_ROOT_PASSWORD"] == secret);
        ensure!(given[&file.secrets[&node.id].environment] == secret, "the secret of {} is another", node.id);
        nodes.push(NodeEntry {
            endpoint: format!("http://{}:9000", node.id),
            access_key: access,
            secret_key_file: format!("/run/secrets/{}", node.id).into(),
            ..node.clone()
        });
    }
    let password = value("POSTGRES_PASSWORD".to_owned())?;
    let database = &file.services["postgres"].environment;
    ensure!(database["POSTGRES_PASSWORD"] == password && database["POSTGRES_USER"] == database["POSTGRES_DB"]);
    let ids: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    for service in file.services.values().filter(|service| service.environment.contains_key("HIGHWATER_NODES")) {
        let mounted: BTreeSet<&str> = service.secrets.iter().map(String::as_str).collect();
        ensure!(mounted == ids, "{:?} is given the secrets {mounted:?}", service.command);
    }

    let there = Stack::builder()
        .external_nats("nats://nats:4222", Some("http://nats:8222".to_owned()))
        .external_database(format!("postgres://highwater:{password}@postgres:5432/highwater"))
        .external_nodes(nodes)
        .prepare()
        .await?;
    let same = PROGRAMS.iter().try_for_each(|name| {
        for (key, runners) in
            there.env_for(name)?.into_iter().filter(|(key, _)| !CONTAINERS_OWN.contains(&key.as_str()))
        {
            let ours = &file.services[*name].environment[&key];
            let json = |text: &str| serde_json::from_str::<Value>(text).ok();
            let equal = *ours == runners || (key == "HIGHWATER_NODES" && json(ours) == json(&runners));
            ensure!(equal, "{name}, {key}: {ours}, not {runners}");
        }
        anyhow::Ok(())
    });
    there.shutdown().await?;
    same
}

/// The checks of programs that listen on nothing look for `<port in hexadecimal> <established>` in /proc/net/tcp. That
/// is how Linux writes the connections that the runner's programs have.
fn the_health_checks_find_the_connections(file: &File, cluster: &Cluster) -> anyhow::Result<()> {
    let words =
        |name: &str| file.services[name].healthcheck.as_ref().map(|check| check.test.join(" ")).unwrap_or_default();
    let pattern = |port: u16| format!(":{port:04X} 01 ");
    ensure!(words("replicator").contains(&pattern(4222)), "{}", words("replicator"));
    ensure!(words("projector").contains(&pattern(4222)) && words("projector").contains(&pattern(5432)));
    let Ok(connections) = std::fs::read_to_string("/proc/net/tcp") else { return Ok(()) };
    for url in [cluster.stack.nats_url()?, cluster.stack.database_url()?] {
        let port = url::Url::parse(&url)?.port().context("a URL without a port")?;
        ensure!(connections.contains(&pattern(port)), "no {:?} in {connections}", pattern(port));
    }
    Ok(())
}

/// `replicator` for `replicator-2`.
fn service_of(name: &str) -> &str {
    if name.starts_with("replicator-") { "replicator" } else { name }
}

#[test]
fn images_are_pinned() {
    let file = file();
    let version = |name: &str| {
        let image = &file.services[name].image;
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        assert!(tag.contains(|c: char| c.is_ascii_digit()) && tag.contains('.'), "{name}: {image} is not pinned");
        tag.to_owned()
    };
    let metadata = workspace();
    let ours = metadata.workspace_packages()[0].version.to_string();
    for (name, service) in &file.services {
        let tag = version(name);
        if is_ours(service) {
            assert_eq!(tag, ours, "{name}");
        }
        if name.starts_with("node-") {
            assert_eq!(service.image, "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z");
        }
    }
    let nats: Vec<u32> = version("nats").split(['.', '-']).map_while(|part| part.parse().ok()).collect();
    assert!(nats >= vec![2, 15, 1], "{nats:?} is older than the services accept");
    assert!(
        text("compose/Dockerfile").contains(&format!("--tag highwater:{ours} ")),
        "the Dockerfile shows another tag"
    );
}

#[test]
fn each_service_has_a_health_check_or_is_a_job() {
    let file = file();
    for (name, service) in &file.services {
        if is_job(name) {
            assert!(service.healthcheck.is_none() && service.restart == "no", "{name} runs to its end");
        } else {
            let check = service.healthcheck.as_ref().unwrap_or_else(|| panic!("{name} has no health check"));
            assert!(matches!(check.test[0].as_str(), "CMD" | "CMD-SHELL") && check.test.len() > 1, "{name}: {check:?}");
            assert_eq!(service.restart, "unless-stopped", "{name}");
        }
        for (other, dependency) in &service.depends_on {
            let target =
                file.services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}, which is not there"));
            let fits = match dependency.condition.as_str() {
                "service_completed_successfully" => is_job(other),
                "service_healthy" => target.healthcheck.is_some(),
                condition => condition == "service_started" && !is_job(other),
            };
            assert!(fits, "{name} waits for {other} until {}", dependency.condition);
        }
    }
    // `up --wait` takes the end of a job for a failure unless something waits for it.
    for (job, _) in JOBS {
        let waited_for = file.services.values().any(|service| service.depends_on.contains_key(job));
        assert!(waited_for, "nothing waits for {job}");
    }
}

#[test]
fn nothing_is_killed_before_its_own_grace_period_ends() {
    let file = file();
    let seconds = |text: &str| runtime::config::duration::parse(text).unwrap().as_secs();
    for name in PROGRAMS {
        let defaults: toml::Table = toml::from_str(&text(&format!("{name}/src/config.default.toml"))).unwrap();
        let own = seconds(defaults["shutdown_grace"].as_str().unwrap());
        let given = seconds(&file.services[name].stop_grace_period);
        assert!(given > own + 5, "{name} takes up to {own} s and some more to stop, and is given {given} s");
    }
}

#[test]
fn only_the_gateway_can_be_reached_and_each_reaches_only_what_it_uses() {
    let file = file();
    let on = |network: &str| -> BTreeSet<&str> {
        let members = file.services.iter().filter(|(_, service)| service.networks.iter().any(|one| one == network));
        members.map(|(name, _)| name.as_str()).collect()
    };
    for (name, service) in &file.services {
        assert!(service.container_name.is_none(), "{name} could not be scaled");
        assert!(!service.networks.is_empty(), "{name} would be on the default network");
        match name.as_str() {
            "gateway" => assert_eq!(service.ports, ["127.0.0.1:7420:7420"]),
            _ => assert!(service.ports.is_empty(), "{name} is published"),
        }
        for volume in service.volumes.iter().filter(|volume| !volume.starts_with("./")) {
            let name = volume.split(':').next().unwrap();
            assert!(file.volumes.contains_key(name), "{volume} is no named volume");
        }
    }
    for (name, network) in &file.networks {
        assert_eq!(network.internal, name != "outside", "{name}");
    }
    assert_eq!(on("outside"), BTreeSet::from(["gateway"]));
    let nodes = BTreeSet::from(["gateway", "gateway-init", "node-a", "node-b", "node-c", "replicator"]);
    assert_eq!(on("nodes"), nodes, "the projector does not know that S3 exists");
    let catalog = BTreeSet::from(["gateway", "gateway-init", "postgres", "projector", "projector-migrate"]);
    assert_eq!(on("catalog"), catalog, "the replicator does not know that Postgres exists");
}

#[test]
fn every_secret_must_be_given_and_none_has_a_default() {
    let example = env_file(&text("compose/.env.example"));
    assert!(example.values().all(String::is_empty), "the example has values: {example:?}");
    let variables = file::variables(&text("compose/docker-compose.yml")).unwrap();
    let mut required = BTreeSet::new();
    for variable in &variables {
        match &variable.unset {
            Unset::Refused(message) => {
                assert_eq!(message, "set it, see .env.example", "{}", variable.name);
                required.insert(variable.name.as_str());
            }
            Unset::Default(value) => {
                let line = format!("\n#{}={value}\n", variable.name);
                assert!(text("compose/.env.example").contains(&line), "the example does not show {line:?}");
            }
        }
    }
    assert_eq!(required, keys(&example));
    for missing in example.keys() {
        let mut given = given();
        given.remove(missing);
        assert!(load(&given).unwrap_err().to_string().starts_with(missing));
    }
    for (name, service) in &file().services {
        for (key, value) in
            service.environment.iter().filter(|(key, _)| key.contains("PASSWORD") || key.contains("ROOT_USER"))
        {
            assert!(value.starts_with("value-of-"), "{name}: {key} is written in the file");
        }
    }
}

#[test]
fn the_example_says_how_to_make_the_keys_and_docker_compose_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let example = text("compose/.env.example");
    std::fs::write(dir.path().join(".env.example"), &example).unwrap();
    let script: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    let script = script.join("\n");
    let made = Command::new("sh").arg("-ec").arg(&script).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success(), "{script}: {made:?}");
    let env = dir.path().join(".env");
    let given = env_file(&std::fs::read_to_string(&env).unwrap());
    assert_eq!(keys(&given), keys(&env_file(&example)));
    let different: BTreeSet<&String> = given.values().collect();
    assert!(different.len() == given.len() && given.values().all(|value| value.len() == 32), "{given:?}");
    let file = load(&given).unwrap();

    let Some(docker) = DockerCompose::find("docker-compose.yml is checked by Docker Compose") else { return };
    let checked = docker.run(&env, &given, &["config", "--quiet"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let refused = docker.run(&dir.path().join(".env.example"), &given, &["config", "--quiet"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("set it, see .env.example"), "{said}");
    // It reads the file as this test does.
    let shown = docker.run(&env, &given, &["config", "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let theirs = shown["services"].as_object().unwrap();
    assert_eq!(theirs.keys().collect::<Vec<_>>(), file.services.keys().collect::<Vec<_>>());
    for (name, service) in &file.services {
        let environment =
            theirs[name].get("environment").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        assert_eq!(environment, serde_json::to_value(&service.environment).unwrap(), "{name}");
        assert_eq!(theirs[name]["image"], service.image.as_str());
    }
}

#[test]
fn the_image_is_built_from_the_whole_workspace_and_holds_every_program() {
    let (metadata, dockerfile) = (workspace(), text("compose/Dockerfile"));
    let allowed = text(".dockerignore");
    let allowed: BTreeSet<&str> = allowed.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for needed in ["Cargo.toml", "Cargo.lock", ".cargo"] {
        assert!(allowed.contains(needed), ".dockerignore keeps {needed} out");
    }
    let mut programs = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().unwrap().strip_prefix(&metadata.workspace_root).unwrap();
        let top = folder.components().next().unwrap().as_str();
        assert!(allowed.contains(top), ".dockerignore keeps {folder} out");
        let bins = package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Bin));
        programs.extend(bins.map(|target| target.name.clone()));
    }
    let after = |mark: &str| -> BTreeSet<String> {
        let end = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
        dockerfile.split(mark).skip(1).map(|rest| rest.split(end).next().unwrap().to_owned()).collect()
    };
    assert_eq!(after("--bin "), programs, "what is built");
    assert_eq!(after(" target/release/"), programs, "what is copied");
    assert_eq!(programs.len(), 5);

    let lines: Vec<&str> = dockerfile.lines().collect();
    let rust = metadata.workspace_packages()[0].rust_version.clone().unwrap();
    assert!(lines.contains(&format!("FROM rust:{}.{}-bookworm AS build", rust.major, rust.minor).as_str()));
    assert!(lines.contains(&"FROM debian:bookworm-slim") && lines.contains(&"COPY . ."));
    let user = lines.iter().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user} may be root");
    for (name, service) in file().services.iter().filter(|(_, service)| is_ours(service)) {
        let build = service.build.as_ref().unwrap();
        assert_eq!((build.context.as_str(), build.dockerfile.as_str()), ("..", "compose/Dockerfile"), "{name}");
        assert!(programs.contains(&service.command[0]), "{name}");
    }
}
