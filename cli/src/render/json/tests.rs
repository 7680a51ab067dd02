use tonic::Code;

use super::*;
use crate::exit::Exit;
use crate::render::samples;

#[test]
fn receipts() {
    insta::assert_snapshot!(receipt(&samples::receipt()));
}

#[test]
fn stored_files() {
    insta::assert_snapshot!(stored(&samples::receipt(), true));
}

#[test]
fn folders() {
    let entries: String = samples::entries().iter().map(entry).collect();
    insta::assert_snapshot!(entries + &usage(samples::usage()));
}

#[test]
fn the_trash() {
    insta::assert_snapshot!(samples::trash().iter().map(deleted).collect::<String>());
}

#[test]
fn versions() {
    insta::assert_snapshot!(samples::versions().iter().map(listed_version).collect::<String>());
}

#[test]
fn changes() {
    insta::assert_snapshot!(change(&samples::change()) + &change(&samples::moved()));
}

#[test]
fn undone() {
    insta::assert_snapshot!(samples::undo().steps.iter().map(undo_step).collect::<String>());
}

#[test]
fn waiting() {
    insta::assert_snapshot!(waited(&samples::waited()));
}

#[test]
fn spaces() {
    let (all, deleted) = (samples::spaces(), samples::deleted_spaces());
    insta::assert_snapshot!(all.iter().chain(&deleted).map(space).collect::<String>());
}

#[test]
fn prunes() {
    insta::assert_snapshot!(pruned(&samples::pruned()) + &pruned(&v1::PruneResponse::default()));
}

#[test]
fn downloads() {
    insta::assert_snapshot!(downloaded(&samples::header(), "a.txt"));
}

#[test]
fn files() {
    insta::assert_snapshot!(file(&samples::file()));
    insta::assert_snapshot!("a_file_without_anything", file(&v1::File::default()));
    insta::assert_snapshot!("a_listed_file", listed(&samples::file()));
}

#[test]
fn events() {
    insta::assert_snapshot!(samples::events().iter().map(event).collect::<String>());
}

#[test]
fn statuses() {
    insta::assert_snapshot!(status(&samples::status()));
    insta::assert_snapshot!("a_status_without_anything", status(&v1::GetStatusResponse::default()));
}

#[test]
fn what_was_given_up() {
    let redrive = v1::RedriveResponse { replicas: 2, sequence: "x-7".to_owned() };
    insta::assert_snapshot!(samples::parked().iter().map(parked).collect::<String>() + &redriven(&redrive));
}

#[test]
fn explanations() {
    insta::assert_snapshot!(explained(&samples::explained()));
}

#[test]
fn placements() {
    insta::assert_snapshot!(placement(&samples::placement()));
}

#[test]
fn retired_nodes() {
    insta::assert_snapshot!(retired(&samples::retired()));
}

#[test]
fn errors() {
    let failure = Failure::new(Exit::FileNotFound, Code::NotFound, "file_not_found", "no file \"a\nb\"");
    insta::assert_snapshot!(error(&failure));
}

#[test]
fn numbers_of_a_struct_are_whole_where_they_are() {
    assert_eq!(number(209_715_200.0).to_string(), "209715200");
    assert_eq!(number(-1.0).to_string(), "-1");
    assert_eq!(number(0.5).to_string(), "0.5");
    assert_eq!(number(f64::NAN), Value::Null);
}

#[test]
fn audits() {
    let found: String = samples::findings().iter().map(finding).collect();
    insta::assert_snapshot!(found + &audited(&samples::audited()));
}

#[test]
fn recovers() {
    let blobs: String = samples::recovered().iter().map(recovered).collect();
    insta::assert_snapshot!(blobs + &recovery(&samples::recovery()));
}
