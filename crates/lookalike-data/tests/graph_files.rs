//! Sets of graphs made here: what is read from good files, and what is said of bad ones.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_data::graph::{
    self, DescribedGraphs, Feature, FeatureRule, Features, GraphSet, PlainGraphs, Variant,
};
use lookalike_data::{BatchRequest, BatchSource};
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Two graphs: a triangle, and three nodes of which two are joined.
const SMALL: &[(&str, &str)] = &[
    ("_A.txt", "1, 2\n2, 1\n2, 3\n3, 2\n3, 1\n1, 3\n4,5\n5,4\n"),
    ("_graph_indicator.txt", "1\n1\n1\n2\n2\n2\n"),
    ("_graph_labels.txt", "1\n-1\n"),
    ("_node_labels.txt", "0\n2\n2\n5\n0\n0\n"),
    ("_node_attributes.txt", "0.5, 1\n1.5, 2\n-2, 3\n0, 4\n1e-3, 5\n7, 6\n"),
];

/// The files of `SMALL`, with some replaced; an empty text leaves the file out.
fn files(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let changed = |name: &str| changes.iter().find(|(changed, _)| *changed == name).map(|(_, text)| *text);
    let files =
        SMALL.iter().map(|(name, text)| (format!("X{name}"), changed(name).unwrap_or(*text).to_owned()));
    files.filter(|(_, text)| !text.is_empty()).collect()
}

fn folder(files: &[(String, String)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn zipped(prefix: &str, files: &[(String, String)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(format!("{prefix}{name}"), SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn opened(changes: &[(&str, &str)]) -> Result<(GraphSet, Vec<String>), String> {
    let folder = folder(&files(changes));
    graph::open("X", folder.path()).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(changes: &[(&str, &str)], wanted: &str) {
    let message = opened(changes).map_or_else(|message| message, |_| "it was opened".to_owned());
    assert!(message.contains(wanted), "{message}\nshould hold\n{wanted}");
}

fn assert_is_small(set: &GraphSet) {
    assert_eq!((set.name(), set.len(), set.nodes(), set.edges()), ("X", 2, 6, 8));
    assert_eq!((set.labels().unwrap(), set.classes()), (&[1, 0][..], &["-1".to_owned(), "1".to_owned()][..]));
    let labels = set.node_labels().unwrap();
    assert_eq!((&labels.labels[..], labels.names.join(" ")), (&[0, 1, 1, 2, 0, 0][..], "0 2 5".to_owned()));
    assert_eq!(set.attributes().unwrap().row(2), [-2.0, 3.0]);
    let neighbors = |graph: usize, node| set.graph(graph).neighbors(node).collect::<Vec<_>>();
    assert_eq!([neighbors(0, 0), neighbors(0, 2), neighbors(1, 1)], [vec![1, 2], vec![0, 1], vec![0]]);
    assert_eq!((neighbors(1, 2).len(), set.graph(1).edges(), set.max_degree()), (0, 2, 2));
    assert_eq!(set.label_histograms().unwrap().rows().values(), [1.0, 2.0, 0.0, 2.0, 0.0, 1.0]);
    assert_eq!(set.sizes(), [[3.0, 3.0], [3.0, 1.0]]);
}

#[test]
fn a_folder_or_a_zip_is_found_by_name_and_by_path() {
    let plain = files(&[]);
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for place in ["flat", "own/X", "pyg/X/raw", "tu/tu/X"] {
        for (name, text) in &plain {
            write(&format!("{place}/{name}"), text.as_bytes());
        }
    }
    write("zip/X/X.zip", &zipped("X//", &plain));
    write("zips/X.zip", &zipped("", &plain));
    for place in ["flat", "own", "pyg", "tu", "zip", "zips", "zips/X.zip"] {
        let (set, warnings) = graph::open("X", &root.path().join(place)).unwrap();
        assert_is_small(&set);
        assert_eq!(warnings, [""; 0]);
    }
    for path in ["own/X", "zips/X.zip", "./flat", "flat/X_A.txt"] {
        assert_is_small(&graph::open(path, root.path()).unwrap().0);
    }
    let absolute = root.path().join("zips/X.zip");
    assert_is_small(&graph::open(absolute.to_str().unwrap(), Path::new("/nowhere")).unwrap().0);
    let other = plain.iter().map(|(name, text)| (name.replacen('X', "Z", 1), text.clone()));
    let both: Vec<(String, String)> = plain.iter().cloned().chain(other).collect();
    write("both.zip", &zipped("", &both));
    for (name, text) in &both {
        write(&format!("both/{name}"), text.as_bytes());
    }
    assert_is_small(&graph::open("X", &root.path().join("both")).unwrap().0);
    assert_is_small(&graph::open("X", &root.path().join("both.zip")).unwrap().0);
    // What another system's archiver leaves beside the files of a set is none.
    write("both/._W_A.txt", b"no edges");
    write("hidden/._X_A.txt", b"no edges");
    for (name, text) in &plain {
        write(&format!("hidden/{name}"), text.as_bytes());
    }
    assert_is_small(&graph::open("hidden/", root.path()).unwrap().0);
    let placed = |place: &str| -> Vec<(String, String)> {
        plain.iter().map(|(name, text)| (format!("{place}/{name}"), text.clone())).collect()
    };
    write("twice.zip", &zipped("", &[placed("a"), placed("b")].concat()));
    for (name, root) in [("twice.zip", root.path().to_owned()), ("X", root.path().join("twice.zip"))] {
        let message = graph::open(name, &root).unwrap_err().to_string();
        assert!(message.contains("several sets of graphs: X, X;"), "{message}");
    }
    for set in 0..12 {
        write(&format!("many/{set:02}_A.txt"), b"");
    }
    let message = graph::open("many/", root.path()).unwrap_err().to_string();
    assert!(message.contains(" 08, 09, …; set data.root"), "{message}");
    for path in ["both/", "both.zip"] {
        let message = graph::open(path, root.path()).unwrap_err().to_string();
        assert!(message.contains("both") && message.contains("several sets of graphs: X, Z;"), "{message}");
    }
    for name in ["Y", "own/Y", "Y.zip"] {
        let message = graph::open(name, root.path()).unwrap_err().to_string();
        assert!(message.contains('Y') && !message.contains('\n'), "{message}");
    }
}

#[test]
fn what_is_no_archive_and_what_is_damaged_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("X.zip");
    fs::write(&path, b"no archive").unwrap();
    let message = graph::open("X", root.path()).unwrap_err().to_string();
    assert!(message.starts_with("cannot unpack ") && message.ends_with("X.zip"), "{message}");
    let whole = zipped("", &files(&[]));
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        fs::write(&path, &bytes).unwrap();
        refused += usize::from(graph::open("X", root.path()).is_err());
    }
    assert!(refused > whole.len() / 4, "{refused} of {}", whole.len());
}

#[test]
fn files_may_be_missing_where_the_format_allows_it() {
    let (set, _) =
        opened(&[("_graph_labels.txt", ""), ("_node_labels.txt", ""), ("_node_attributes.txt", "")]).unwrap();
    assert_eq!((set.labels(), set.classes().len()), (None, 0));
    assert!(set.node_labels().is_none() && set.attributes().is_none() && set.label_histograms().is_none());
    let folder = folder(&files(&[("_A.txt", "")]));
    assert!(graph::open("X", folder.path()).unwrap_err().to_string().contains("looked for X_A.txt"));
    assert_refused(&[("_graph_indicator.txt", "")], "looked for X_graph_indicator.txt");
}

#[test]
fn doubled_one_way_and_looped_edges_are_mended_and_said() {
    let (set, warnings) = opened(&[("_A.txt", "1, 2\n1, 2\n2, 1\n1, 1\n3, 1\n5, 4\n")]).unwrap();
    assert_eq!(set.edges(), 6);
    assert_eq!(
        warnings,
        [
            "X lists 6 edges, 1 of them more than once; each counts once",
            "X lists 1 edges from a node to itself, which are left out",
            "X lists 2 edges in one direction only; each counts in both",
        ]
    );
}

#[test]
fn a_graph_may_have_no_edges_and_where_graphs_are_labelled_no_nodes() {
    let (set, _) = opened(&[("_A.txt", "1, 2\n2, 1\n")]).unwrap();
    assert_eq!((set.graph(1).nodes(), set.graph(1).edges()), (3, 0));
    let (set, _) = opened(&[("_A.txt", "\n")]).unwrap();
    assert_eq!(set.edges(), 0);
    let indicator = "X_graph_indicator.txt, line ";
    let skipped = ("_graph_indicator.txt", "2\n2\n2\n5\n5\n5\n");
    let (set, warnings) = opened(&[skipped, ("_graph_labels.txt", "1\n-1\n1\n1\n-1\n")]).unwrap();
    assert_eq!((set.len(), set.nodes()), (5, 6));
    let nodes = |set: &GraphSet| (0..set.len()).map(|graph| set.graph(graph).nodes()).collect::<Vec<_>>();
    assert_eq!((nodes(&set), set.labels().unwrap()), (vec![0, 3, 0, 0, 3], &[1, 0, 1, 1, 0][..]));
    let said = "3 graphs of X have no nodes, the first of them is the 1. of the file; they stay in the set, and nothing tells them apart";
    assert_eq!(warnings, [said]);
    assert_eq!(set.sizes()[2], [0.0, 0.0]);
    assert_refused(&[skipped], &format!("{indicator}4: graph 5 follows graph 2, and 2 graphs have labels"));
    let slip = "they have no labels that would tell graphs without nodes from a slip";
    assert_refused(
        &[skipped, ("_graph_labels.txt", "")],
        &format!("{indicator}1: graph 2 begins the file, and {slip}"),
    );
    let (set, warnings) = gin("3\n1 4\n0 0\n0 5\n1 5\n0 0\n").unwrap();
    assert_eq!((nodes(&set), warnings.len()), (vec![1, 0, 1], 1));
    assert_eq!(gin("1\n0 5\n").unwrap_err(), "no graph of X has a node");
}

#[test]
fn an_indicator_that_is_not_sorted_or_no_number_is_refused_with_its_line() {
    let at = "X_graph_indicator.txt, line ";
    assert_refused(
        &[("_graph_indicator.txt", "1\n1\n2\n2\n1\n1\n")],
        &format!("{at}5: graph 1 follows graph 2; nodes must be sorted by graph"),
    );
    assert_refused(
        &[("_graph_indicator.txt", "0\n0\n")],
        &format!("{at}1: graphs are numbered from 1, and the file begins with 0"),
    );
    assert_refused(
        &[("_graph_indicator.txt", "1\n-1\n")],
        &format!("{at}2: graph -1 follows graph 1; nodes must be sorted by graph, numbered from 1"),
    );
    assert_refused(
        &[("_graph_indicator.txt", "1\none\n")],
        &format!("{at}2: expected the number of a graph alone on the line, found \"one\""),
    );
    assert_refused(&[("_graph_indicator.txt", "\n")], &format!("{at}1: the file holds no nodes"));
}

#[test]
fn nodes_that_do_not_exist_and_edges_between_graphs_are_refused_with_their_line() {
    let at = "X_A.txt, line ";
    assert_refused(
        &[("_A.txt", "1, 2\n7, 6\n")],
        &format!("{at}2: node 7 does not exist; the graph indicator lists nodes 1 to 6"),
    );
    for (line, node) in [("0, 1", 0), ("-1, 2", -1)] {
        assert_refused(
            &[("_A.txt", &format!("1, 2\n{line}\n"))],
            &format!(
                "{at}2: node {node} does not exist; the graph indicator lists nodes 1 to 6, numbered from 1"
            ),
        );
    }
    assert_refused(
        &[("_A.txt", "3, 4\n")],
        &format!("{at}1: the edge joins node 3 of graph 1 and node 4 of graph 2"),
    );
    for line in ["1 2", "1, 2, 3", "1.5, 2", "1,", "1, 2,,", "99999999999999999999, 1"] {
        assert_refused(
            &[("_A.txt", line)],
            &format!("{at}1: expected an edge as two nodes, `from, to`, found {line:?}"),
        );
    }
}

#[test]
fn too_few_and_too_many_labels_are_refused_with_their_line() {
    assert_refused(
        &[("_graph_labels.txt", "1\n")],
        "X_graph_labels.txt, line 1: the file ends after 1 lines, but there are 2 graphs",
    );
    assert_refused(
        &[("_graph_labels.txt", "1\n2\n3\n")],
        "X_graph_labels.txt, line 3: more labels than the 2 graphs",
    );
    assert_refused(
        &[("_node_labels.txt", "0\n")],
        "X_node_labels.txt, line 1: the file ends after 1 lines, but there are 6 nodes",
    );
    assert_refused(
        &[("_graph_labels.txt", "1, 2, 3\n-1, 2, 3\n")],
        "X_graph_labels.txt, line 1: 3 labels a graph; a graph has one label, so keep one column",
    );
    for label in ["0.5", "one", "nan", ""] {
        assert_refused(&[("_node_labels.txt", &format!("0,1\n2,{label}\n"))], "X_node_labels.txt, line 2: ");
    }
    assert_refused(
        &[("_node_labels.txt", "0\n0.5\n")],
        "X_node_labels.txt, line 2: expected the label of a node, a whole number, found \"0.5\"",
    );
    assert_refused(
        &[("_node_labels.txt", "0, 1\n0\n")],
        "X_node_labels.txt, line 2: 1 labels, but the first node has 2",
    );
    let at = "X_node_attributes.txt, line ";
    assert_refused(
        &[("_node_attributes.txt", "1, 2\n1\n")],
        &format!("{at}2: 1 attributes, but the first node has 2"),
    );
    assert_refused(
        &[("_node_attributes.txt", "1, NaN\n")],
        &format!("{at}1: expected a finite number, found \"NaN\""),
    );
    assert_refused(
        &[("_node_attributes.txt", "1\n2\n3\n4\n5\n6\n7\n")],
        &format!("{at}7: more attribute rows than the 6 nodes"),
    );
}

#[test]
fn line_ends_may_be_mixed() {
    let mixed: Vec<(&str, String)> = SMALL
        .iter()
        .map(|(name, text)| {
            (
                *name,
                text.split_inclusive('\n')
                    .enumerate()
                    .map(|(at, line)| if at % 2 == 0 { line.replace('\n', "\r\n") } else { line.to_owned() })
                    .collect(),
            )
        })
        .collect();
    let mixed: Vec<(&str, &str)> = mixed.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_is_small(&opened(&mixed).unwrap().0);
    assert_refused(
        &[("_graph_labels.txt", "1\r-1\r")],
        "X_graph_labels.txt, line 1: the line contains a carriage return",
    );
}

/// The same two graphs in the format of GIN's code, with attributes.
const GIN: &str = "2\n3 7\n0 2 1 2 0.5 1\n1 2 0 2 1 1\n1 2 0 1 2 1\n3 4\n2 1 1 0 0\n0 1 0 1 1\n0 0 3 3\n";

fn gin(text: &str) -> Result<(GraphSet, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("X.txt"), text).unwrap();
    graph::open("X", folder.path()).map_err(|error| error.to_string())
}

#[test]
fn the_format_of_gin_s_code_is_read_plain_and_packed() {
    let (set, warnings) = gin(GIN).unwrap();
    assert_eq!((set.len(), set.nodes(), set.edges(), warnings.len()), (2, 6, 8, 0));
    assert_eq!((set.labels().unwrap(), set.classes().join(" ")), (&[1, 0][..], "4 7".to_owned()));
    assert_eq!(set.node_labels().unwrap().labels, [0, 1, 1, 2, 0, 0]);
    assert_eq!(set.attributes().unwrap().row(5), [3.0, 3.0]);
    let root = tempfile::tempdir().unwrap();
    let member = [("X.txt".to_owned(), GIN.to_owned()), ("._X.txt".to_owned(), "no graphs".to_owned())];
    fs::write(root.path().join("X.gin.zip"), zipped("dataset/X/", &member)).unwrap();
    for name in ["X", "X.gin.zip"] {
        assert_eq!(graph::open(name, root.path()).unwrap().0, set);
    }
    // A single tag says nothing.
    assert!(gin("1\n1 0\n5 0\n").unwrap().0.node_labels().is_none());
}

#[test]
fn what_gin_s_format_does_not_allow_is_refused_with_its_line() {
    for (text, wanted) in [
        ("", "line 1: the file is empty"),
        ("0\n", "line 1: the file declares 0 graphs"),
        ("two\n", "line 1: expected the number of graphs alone on the line, found \"two\""),
        ("4294967295\n1 0\n0 0\n", "line 3: the file ends after 1 of 4294967295 graphs"),
        ("1\n9000000000 0\n", "line 2: 9000000000 more nodes exceed the limit of 4294967295"),
        ("1\n4000000000 0\n0 0\n", "line 3: the file ends after 1 of 4000000000 nodes"),
        ("1\n-1 0\n", "line 2: graph 0 has -1 nodes; expected 0 or more"),
        ("1\n1\n0 0\n", "line 2: a graph must begin with two integers"),
        ("1\n2 0\n0 1 1\n0 1 2\n", "line 4: node 2 does not exist; the graph has nodes 0 to 1"),
        ("1\n2 0\n0 2 1\n0 0\n", "line 3: expected a neighbour, found the end of the line"),
        ("1\n1 0\n0 9000000000000000000 0\n", "line 3: expected a neighbour, found the end of the line"),
        ("1\n1 0\n0 -1\n", "line 3: node 0 has -1 neighbours"),
        ("1\n1 0\n0 0 x\n", "line 3: expected a finite attribute, found \"x\""),
        ("1\n2 0\n0 0 1\n0 0\n", "line 4: 0 attributes, but the first node has 1"),
        ("1\n1 0\n0 0\n0 0\n", "line 4: the file goes on after the 1 graphs"),
    ] {
        let message = gin(text).map_or_else(|message| message, |_| "it was opened".to_owned());
        assert!(message.contains(wanted), "{text:?}: {message}");
    }
}

#[test]
fn files_as_other_programs_write_them_say_the_same() {
    let changed = |change: &dyn Fn(&str) -> String| {
        let texts: Vec<_> = SMALL.iter().map(|(name, text)| (*name, change(text))).collect();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_is_small(&opened(&texts).unwrap().0);
    };
    changed(&|text| format!("\u{feff}{text}"));
    changed(&|text| text.replace('\n', ",\n"));
    // As NumPy's `savetxt` writes numbers of any kind.
    let decimal = |field: &str| field.trim().parse::<f64>().map(|value| format!("{value:.18e}")).unwrap();
    changed(&|text| {
        let line = |line: &str| line.split(',').map(decimal).collect::<Vec<_>>().join(", ") + "\n";
        text.lines().map(line).collect()
    });
    let (set, _) = gin(&format!("\u{feff}{}", GIN.replace("3 7", "3.0 7.0"))).unwrap();
    assert_eq!(set, gin(GIN).unwrap().0);
}

#[test]
fn labels_of_nodes_in_several_columns_stand_one_hot_side_by_side() {
    let columns = ("_node_labels.txt", "0, 3\n2, 3\n2, 3\n5, -1\n0, 3\n0, 3\n");
    let (set, _) = opened(&[columns]).unwrap();
    let labels = set.node_labels().unwrap();
    assert_eq!((labels.names.join(" "), labels.columns), ("1:0 1:2 1:5 2:-1 2:3".to_owned(), 2));
    assert_eq!((labels.of(0), labels.of(3)), (&[0, 4][..], &[2, 3][..]));
    let rule = rule(&[Feature::NodeLabels]);
    let features = Features::new(&rule, &set).unwrap();
    assert_eq!(features.columns(), 5);
    let expected = [[0.0, 0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 1.0]];
    assert_eq!(features.of(&set, set.graph(1)), expected.concat());
    let histograms = [[1.0, 2.0, 0.0, 0.0, 3.0], [2.0, 0.0, 1.0, 1.0, 2.0]];
    assert_eq!(set.label_histograms().unwrap().rows().values(), histograms.concat());
    // The labels that a run has columns for are known by their column too.
    let fitted = rule.fitted(&set);
    assert_eq!(Features::new(&fitted, &set).unwrap(), features);
    let (single, _) = opened(&[]).unwrap();
    let message = Features::new(&fitted, &single).unwrap_err().to_string();
    assert!(
        message.contains("X has nodes labelled 0, but none of the 5 columns is for that label"),
        "{message}"
    );
    assert_ne!(set.fingerprint(), single.fingerprint());
}

#[test]
fn files_that_say_more_than_is_read_are_named() {
    let mut all = files(&[]);
    all.push(("X_edge_labels.txt".to_owned(), "0\n".repeat(8)));
    let (set, _) = graph::open("X", folder(&all).path()).unwrap();
    assert_eq!(set.unread(), ["X_edge_labels.txt"]);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("X.zip"), zipped("X/", &all)).unwrap();
    assert_eq!(graph::open("X", root.path()).unwrap().0.unread(), ["X_edge_labels.txt"]);
    assert!(opened(&[]).unwrap().0.unread().is_empty());
}

fn rule(parts: &[Feature]) -> FeatureRule {
    FeatureRule::of(parts.to_vec())
}

#[test]
fn features_are_those_of_the_rule() {
    let (set, _) = opened(&[]).unwrap();
    let all = rule(&[Feature::NodeLabels, Feature::Attributes, Feature::Degree, Feature::Constant]);
    let features = Features::new(&all, &set).unwrap();
    assert_eq!(features.columns(), 3 + 2 + 3 + 1);
    let values = features.of(&set, set.graph(1));
    assert_eq!(values[..9], [0.0, 0.0, 1.0, 0.0, 4.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(values[18..], [1.0, 0.0, 0.0, 7.0, 6.0, 1.0, 0.0, 0.0, 1.0]);
    let limited = FeatureRule { max_degree: Some(1), ..rule(&[Feature::Degree]) };
    assert_eq!(Features::new(&limited, &set).unwrap().of(&set, set.graph(0)), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(FeatureRule::graphcl(&set), rule(&[Feature::NodeLabels]));
    assert_eq!(FeatureRule::mvgrl(&set), rule(&[Feature::Attributes]));
    let (plain, _) = opened(&[("_node_labels.txt", ""), ("_node_attributes.txt", "")]).unwrap();
    assert_eq!(FeatureRule::graphcl(&plain), rule(&[Feature::Constant]));
    assert_eq!(FeatureRule::mvgrl(&plain), rule(&[Feature::Degree]));
    let (labelled, _) = opened(&[("_node_attributes.txt", "")]).unwrap();
    assert_eq!(FeatureRule::mvgrl(&labelled), rule(&[Feature::NodeLabels, Feature::Degree]));
}

#[test]
fn a_fitted_rule_gives_another_set_the_same_columns_or_refuses_it() {
    let labels = |labels| opened(&[("_node_labels.txt", labels)]).unwrap().0;
    let set = labels("2\n7\n2\n2\n7\n2\n");
    let fitted = rule(&[Feature::NodeLabels, Feature::Degree]).fitted(&set);
    assert_eq!(
        (fitted.max_degree, fitted.node_labels.clone().unwrap()),
        (Some(2), vec!["2".into(), "7".into()])
    );
    assert_eq!(fitted.clone().fitted(&labels("7\n7\n7\n7\n7\n7\n")), fitted);
    assert_eq!(Features::new(&fitted, &set).unwrap(), Features::new(&rule(&fitted.parts), &set).unwrap());
    let one = labels("7\n7\n7\n7\n7\n7\n");
    let features = Features::new(&fitted, &one).unwrap();
    assert_eq!((features.columns(), &features.of(&one, one.graph(0))[..2]), (5, &[0.0, 1.0][..]));
    let refused = Features::new(&fitted, &labels("2\n2\n2\n9\n2\n2\n")).unwrap_err().to_string();
    let twice = FeatureRule { node_labels: Some(vec!["2".into(), "7".into(), "2".into()]), ..fitted.clone() };
    let message = Features::new(&twice, &set).unwrap_err().to_string();
    assert!(message.starts_with("graphs.features.node_labels: a label is listed twice"), "{message}");
    assert!(
        refused.contains("X has nodes labelled 9, but none of the 2 columns is for that label"),
        "{refused}"
    );
}

#[test]
fn a_rule_that_the_data_cannot_serve_is_refused() {
    let (set, _) = opened(&[("_node_labels.txt", ""), ("_node_attributes.txt", "")]).unwrap();
    let message = |rule: &FeatureRule| Features::new(rule, &set).unwrap_err().to_string();
    for (rule, wanted) in [
        (rule(&[]), "graphs.features: no feature is named"),
        (rule(&[Feature::NodeLabels]), "graphs.features: X has no labels of nodes"),
        (rule(&[Feature::Attributes]), "graphs.features: X has no attributes of nodes"),
        (rule(&[Feature::Degree, Feature::Degree]), "graphs.features: Degree is listed twice"),
        (
            FeatureRule { max_degree: Some(3), ..rule(&[Feature::Constant]) },
            "graphs.features.max_degree: has no effect",
        ),
        (
            FeatureRule { node_labels: Some(vec!["1".into()]), ..rule(&[Feature::Constant]) },
            "graphs.features.node_labels: has no effect",
        ),
    ] {
        assert!(message(&rule).starts_with(wanted), "{}", message(&rule));
    }
}

#[test]
fn a_batch_is_its_graphs_side_by_side() {
    let set = Arc::new(opened(&[]).unwrap().0);
    let features = Features::new(&rule(&[Feature::NodeLabels]), &set).unwrap();
    let source = PlainGraphs::new(DescribedGraphs::new(set, features), Variant::Paper);
    let batch =
        |instances: &[u32]| source.batch(&BatchRequest { instances: instances.to_vec(), epoch: 0, step: 0 });
    let found = batch(&[1, 0, 1]).unwrap();
    assert_eq!((found.len(), found.nodes(), &found.offsets[..]), (3, 9, &[0, 3, 6, 9][..]));
    assert_eq!(
        (found.edges.row(0), found.edges.row(3), found.edges.row(6)),
        (&[1][..], &[4, 5][..], &[7][..])
    );
    assert_eq!(found.features[..3], [0.0, 0.0, 1.0]);
    assert!(batch(&[2]).unwrap_err().to_string().contains("X has 2 instances; index 2 is out of range"));
    assert!(batch(&[]).unwrap_err().to_string().contains("at least one graph"));
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(lines in prop::collection::vec("[0-9, .x-]{0,6}", 0..12), which in 0_usize..5) {
        let text = lines.join("\n");
        let text = if text.is_empty() { " " } else { &text };
        let _ = opened(&[(SMALL[which].0, text)]);
        let _ = gin(text);
    }
}
