//! The structure of the workspace, as ARCHITECTURE.md draws it: who may import whom, which crate is the only door to a
//! heavy library, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

const MAX_LINES: usize = 400;

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn normal_dependencies(package: &Package) -> BTreeSet<String> {
    package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.clone()).collect()
}

#[test]
fn crates_import_only_what_the_arrows_allow() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("proto", &[][..]),
        ("runtime", &[]),
        ("fold", &["proto"]),
        ("journal", &["proto", "runtime"]),
        ("blobs", &["proto", "runtime"]),
        ("catalog", &["proto", "runtime", "fold"]),
        ("gateway", &["proto", "runtime", "journal", "blobs", "catalog"]),
        ("replicator", &["proto", "runtime", "journal", "blobs"]),
        ("projector", &["proto", "runtime", "fold", "journal", "catalog"]),
        ("cli", &["proto", "runtime"]),
        ("compose", &["runtime"]),
        ("tests", &["proto", "runtime", "fold", "journal", "blobs", "catalog", "compose"]),
    ]);
    let metadata = metadata();
    let ours: BTreeSet<&str> = allowed.keys().copied().collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let may = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the drawing of the workspace"));
        for dependency in normal_dependencies(package) {
            if ours.contains(dependency.as_str()) {
                assert!(may.contains(&dependency.as_str()), "{name} may not import {dependency}");
            }
        }
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Development) {
            let fine = !ours.contains(dependency.name.as_str())
                || dependency.name == "compose"
                || may.contains(&dependency.name.as_str());
            assert!(fine, "{name} may not import {} in its tests", dependency.name);
        }
    }
}

#[test]
fn each_heavy_library_has_one_door() {
    let doors = [
        ("async-nats", "journal"),
        ("aws-sdk-s3", "blobs"),
        ("aws-sigv4", "blobs"),
        ("sqlx", "catalog"),
        ("s3s", "compose"),
        ("s3s-fs", "compose"),
    ];
    for package in metadata().workspace_packages() {
        let dependencies = normal_dependencies(package);
        for (library, door) in doors {
            let name = package.name.as_str();
            assert!(name == door || !dependencies.contains(library), "{name} imports {library}; only {door} may");
        }
    }
}

#[test]
fn the_replicator_does_not_know_postgres_and_the_projector_does_not_know_s3() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    for (program, stranger) in
        [("replicator", "sqlx"), ("projector", "aws-sdk-s3"), ("cli", "sqlx"), ("cli", "async-nats")]
    {
        let start = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == program).unwrap();
        let mut seen = BTreeSet::new();
        let mut todo = vec![&start.id];
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = resolve.nodes.iter().find(|node| node.id == *id).unwrap();
            let normal = |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            todo.extend(node.deps.iter().filter(|dep| normal(&dep.dep_kinds)).map(|dep| &dep.pkg));
        }
        assert!(!seen.iter().any(|id| names[*id] == stranger), "{program} reaches {stranger}");
    }
}

#[test]
fn what_is_on_the_data_path_comes_in_one_version() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    for name in ["rustls", "hyper", "h2", "http", "tokio", "prost", "tonic", "axum"] {
        let versions: Vec<_> =
            metadata.packages.iter().filter(|p| p.name.as_str() == name).map(|p| p.version.to_string()).collect();
        assert!(versions.len() <= 1, "{name} comes in the versions {versions:?}");
    }
}

/// What has no tests is not built once more for them, which costs seconds: a documentation without examples, and a program
/// that is nothing but the `main` of its library. The manifests say so, and so they must not say it of more.
#[test]
fn nothing_is_built_to_run_no_test_and_no_test_is_left_out() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap().as_std_path();
        let has_library = package.targets.iter().any(cargo_metadata::Target::is_lib);
        for target in &package.targets {
            if target.is_lib() {
                let has_examples = rust_files(&folder.join("src")).iter().any(|path| has_example(path));
                assert_eq!(target.doctest, has_examples, "`doctest` of {}", package.name);
            } else if target.is_bin() {
                let has_tests = !has_library || fs::read_to_string(&target.src_path).unwrap().contains("#[test]");
                assert_eq!(target.test, has_tests, "`test` of the program {}", target.name);
            }
        }
    }
}

/// Whether its documentation has code that `rustdoc --test` would run.
fn has_example(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(str::trim_start);
    let fences = lines.filter(|line| line.starts_with("//! ```") || line.starts_with("/// ```"));
    // Every second one closes.
    fences.step_by(2).any(|line| !line.ends_with("```text"))
}

#[test]
fn files_are_short_and_named_after_their_module() {
    let mut wrong = Vec::new();
    for path in rust_files(&root()) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{} has {lines} lines; at most {MAX_LINES} are read with pleasure", path.display()));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{}: write foo.rs beside foo/", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_folders_are_the_ones_of_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let ours = entry.file_type().unwrap().is_dir() && !name.starts_with('.') && name != "target";
        assert!(!ours || map.contains(&format!("`{name}/`")), "ARCHITECTURE.md does not say what {name}/ is for");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}
